"""How FERAtt was trained, by the dates of its public code: November 2018, March 2019 (camera-ready), April 2019 on.

Marrero Fernandez et al., CVPR Workshops 2019, DOI 10.1109/CVPRW.2019.00112. Stated there: Adam with amsgrad and 1e-4
throughout (weight decay and momentum never reach it), the schedules, epochs, samples an epoch, batches and sizes below,
a sampler that goes round the classes, and faces composited over backgrounds. Not stated, and therefore our choice:
how the images within a class are drawn (here each once before any twice). The reconstruction loss and the deviation of
the Gaussians are those of the date; the network of March 2019 lies between the two registered ones, and its recipe is
offered for the later one.
"""

from __future__ import annotations

from edgefer_export.train.recipes.recipe import Recipe

_SOURCE = "Marrero Fernandez et al. 2019, FERAtt, CVPR Workshops, DOI 10.1109/CVPRW.2019.00112, and their code of "
_BACKGROUNDS = (
    "backgrounds were photographs of COCO, which are not shipped: --backgrounds FOLDER, or textures of chance"
)
_VALIDATION = "the epoch was chosen on composed samples; here it is on the faces as they are"
_ENCODER = "the encoder of the attention begins with ImageNet's weights, which are not shipped"

RECIPES = (
    Recipe(
        name="feratt-2018",
        summary="as the figure: step of 100 epochs, mean squared error inside the mask, sigma 1, 128 pixels",
        source=_SOURCE + "November and December 2018",
        networks=("feratt-paper",),
        ours=("sampler within a class",),
        left_out=(_BACKGROUNDS, _ENCODER, _VALIDATION),
        options={"reconstruction": "2018", "sigma": "1", "size": "128", "norm": "cifar10"},
        optimiser="adam:amsgrad",
        learning_rate=1e-4,
        schedule="step:100:0.1",
        epochs=500,
        batch=240,
        composite="2018",
        sampler="class-cyclic",
        epoch_samples=70_000,
    ),
    Recipe(
        name="feratt-2019-03",
        summary="camera-ready: step of 500 epochs, ten times the mean squared error, sigma 1, 128 pixels",
        source=_SOURCE + "24 and 25 March 2019",
        networks=("feratt",),
        ours=("sampler within a class", "network"),
        left_out=(
            _BACKGROUNDS,
            _ENCODER,
            _VALIDATION,
            "the network of that date has one attention map and 32 features; feratt has one of each for every class",
            "the classifier got the clean face in place of the corrected one with probability 0.2",
            "64 samples a batch for AffectNet: --batch 64",
        ),
        options={"reconstruction": "2019-03", "sigma": "1", "size": "128"},
        optimiser="adam:amsgrad",
        learning_rate=1e-4,
        schedule="step:500:0.1",
        epochs=1000,
        batch=240,
        composite="2019-03",
        sampler="class-cyclic",
        epoch_samples=50_000,
    ),
    Recipe(
        name="feratt-2019-04",
        summary="the last form: constant rate, five times the mean of tanh(3 |d|), sigma 0.5, 64 pixels",
        source=_SOURCE + "April 2019 to July 2020",
        networks=("feratt",),
        ours=("sampler within a class",),
        left_out=(
            _BACKGROUNDS,
            _ENCODER,
            _VALIDATION,
            "embeddings were mixed by default in the last form (mix=True); here they are not",
            "its images were grey, three times the same channel; here they keep their colours",
            "sigma is 1.0 until May and 0.5 from July 2019: --option sigma=1 for the former",
        ),
        options={"reconstruction": "2019-04", "sigma": "0.5", "size": "64"},
        optimiser="adam:amsgrad",
        learning_rate=1e-4,
        schedule="constant",
        epochs=500,
        batch=32,
        composite="2019-04",
        sampler="class-cyclic",
        epoch_samples=288_000,
    ),
)
