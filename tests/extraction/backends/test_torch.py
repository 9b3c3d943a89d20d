"""Tests of `distspc.extraction.backends.torch`: torch and timm are not among what the other tests need."""

import numpy as np
import PIL.Image
import pytest

from distspc.errors import InputError
from distspc.extraction.backends.torch import prefix
from distspc.extraction.network import layer_shapes, list_layers, load_network
from distspc.extraction.network_spec import resolve_network
from distspc.extraction.pooling import Prefix
from distspc.images.resizing import resize_image
from distspc.pipeline.run import Study
from distspc.results.tidy import tidy_table

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]
torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

VIT, RESNET = "vit_tiny_patch16_224", "resnet18"


@pytest.fixture(scope="module")
def pictures():
    return [np.random.default_rng(i).integers(0, 256, (260 + 40 * i, 300, 3)).astype(np.uint8) for i in range(2)]


def saved(tmp_path, name, kind="safetensors"):
    """A network of timm with weights in a file."""
    torch.manual_seed(1)
    model = timm.create_model(name).eval()
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(model.state_dict(), tmp_path / "m.safetensors")
    else:
        torch.save({"state_dict": model.state_dict()}, tmp_path / "m.pth")
    return model, str(next(tmp_path.glob("m.*")))


def by_hooks(model, layers, pictures):
    """Outputs of modules on images that timm itself has prepared."""
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(PIL.Image.fromarray(picture)) for picture in pictures])
    found = {}
    for layer in layers:
        model.get_submodule(layer).register_forward_hook(
            lambda module, given, output, layer=layer: found.__setitem__(layer, output.detach().numpy())
        )
    with torch.inference_mode():
        model(batch)
    return found


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize(
    ("name", "layers"),
    [(VIT, ("blocks.11", "blocks.3")), (RESNET, ("layer1", "layer3")), ("convnext_atto", ("stages.1",))],
)
def test_images_and_weights_in_a_file_give_what_timm_gives(tmp_path, pictures, name, layers, kind):
    model, path = saved(tmp_path, name, kind)
    spec = resolve_network(f"timm:{name}", file=path, layers=layers)
    net = load_network(spec, 2)
    inputs = np.stack([resize_image(picture, net.input_size, spec.resize) for picture in pictures])
    found, expected = net.activations(inputs), by_hooks(model, layers, pictures)
    for layer in layers:
        other = expected[layer].transpose(0, 2, 3, 1) if expected[layer].ndim == 4 else expected[layer]
        assert found[layer].shape == other.shape
        np.testing.assert_allclose(found[layer], other, rtol=0, atol=1e-5 * np.abs(other).max())
    assert layer_shapes(spec) == {layer: found[layer].shape[1:] for layer in layers}


def test_layers_are_listed():
    found = list_layers(resolve_network(f"timm:{VIT}:random", layers=["any"]))
    assert [(one.name, one.kind, one.shape) for one in found] == [
        (f"blocks.{i}", "Block", (197, 192)) for i in range(12)
    ]
    with pytest.raises(InputError, match=r"no layer 'block.11'; did you mean 'blocks.11'\?"):
        layer_shapes(resolve_network(f"timm:{VIT}:random", layers=["block.11"]))


def test_tokens_are_pooled_as_timm_does():
    from timm.models.vision_transformer import global_pool_nlc

    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)

    def tokens(pooling):
        spec = resolve_network(f"timm:{VIT}:random", layers=["blocks.2"], pooling=pooling)
        return load_network(spec, 2).activations(images)["blocks.2"]

    whole = torch.from_numpy(tokens("flatten").copy())
    for pooling, name in (("cls", "token"), ("mean", "avg"), ("max", "max")):
        expected = global_pool_nlc(whole, name, num_prefix_tokens=1).numpy()
        np.testing.assert_allclose(tokens(pooling), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (VIT, Prefix(1, has_class_token=True)),
        ("vit_small_patch14_reg4_dinov2", Prefix(5, has_class_token=True)),
        ("vit_base_patch16_siglip_224", Prefix(0, has_class_token=False)),
        (RESNET, None),
    ],
)
def test_networks_say_what_stands_before_their_patches(name, expected):
    assert prefix(resolve_network(f"timm:{name}:random", layers=["any"])) == expected


def test_random_weights_depend_on_the_seed_alone():
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    found = [
        load_network(resolve_network(f"timm:{RESNET}:random", layers=["layer1"], seed=seed), 2).activations(images)
        for seed in (0, 1, 0)
    ]
    np.testing.assert_array_equal(found[0]["layer1"], found[2]["layer1"])
    assert not np.array_equal(found[0]["layer1"], found[1]["layer1"])


def test_a_file_with_code_in_it_runs_none(tmp_path):
    trace = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return open, (str(trace), "w")

    torch.save({"state_dict": Harm()}, tmp_path / "m.pth")
    with pytest.raises(InputError, match=r"m\.pth' hold code"):
        load_network(resolve_network(f"timm:{RESNET}", file=str(tmp_path / "m.pth"), layers=["layer1"]), 1)
    assert not trace.exists()


def test_weights_of_another_network_are_refused(tmp_path):
    _, path = saved(tmp_path, RESNET)
    with pytest.raises(InputError, match=f"timm:{VIT} cannot be built with these weights"):
        load_network(resolve_network(f"timm:{VIT}", file=path, layers=["blocks.1"]), 1)


def test_a_study_states_the_preprocessing_that_timm_has(tmp_path, pictures):
    _, path = saved(tmp_path, VIT)
    (tmp_path / "T").mkdir()
    for i in range(6):
        PIL.Image.fromarray(pictures[0][:, 10 * i : 10 * i + 200]).save(tmp_path / f"T/{i}.png")
    content = {
        "store": "s.zarr",
        "images": {"targets": "T"},
        "model": {"weights": f"timm:{VIT}", "file": path},
        "layers": [{"name": "blocks.5", "pooling": "mean"}],
        "reconstruction": {"units": 20, "codewords": 5, "batches": 3, "batch-size": 4},
    }
    study = Study.from_dict(content, base=tmp_path)
    study.run(stages=["extract", "distances"])
    recipe = study.stored.layer("blocks.5").attributes["recipe"]
    assert recipe["architecture"] == f"timm:{VIT}"
    assert recipe["weights"].startswith("sha256:")
    assert recipe["preprocessing"]["crop_share"] == 0.9
    assert recipe["pooling"] == "mean"
    assert study.stored.layer("blocks.5").attributes["prefix_tokens"] == 1
    assert study.stored.layer("blocks.5").sizes["feature"] == 192
    assert (tidy_table(study.store)["distinctiveness"] > 0).all()
