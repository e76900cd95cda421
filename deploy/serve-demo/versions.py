"""Versions of a model that are broken on purpose, registered past every gate: for trying what a rollout does."""

import hashlib
import json
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path


class Registry:
    """The few calls of MLflow's REST API that are needed."""

    def __init__(self, url):
        self.url = url.rstrip("/") + "/api/2.0/mlflow/"

    def _call(self, path, body=None, **query):
        address = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def version(self, name, alias):
        """The version that an alias means."""
        return self._call("registered-models/alias", name=name, alias=alias)["model_version"]

    def create(self, name, source, tags):
        """A new version's number."""
        body = {"name": name, "source": source, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        return self._call("model-versions/create", body)["model_version"]["version"]

    def point(self, name, alias, version):
        """Moves an alias."""
        self._call("registered-models/alias", {"name": name, "alias": alias, "version": version})


class Workshop:
    """Takes the champion's files apart and registers what was made of them."""

    def __init__(self, martlet, registry, model):
        self.martlet = martlet
        self.registry = registry
        self.model = model

    def _move(self, verb, *places):
        subprocess.run([self.martlet, "artifact", verb, *places], check=True, stdout=subprocess.DEVNULL)

    def register(self, kind, change):
        """Registers what `change` makes of a copy of the champion's folder, as the challenger; its version."""
        champion = self.registry.version(self.model, "champion")
        tags = {tag["key"]: tag["value"] for tag in champion["tags"]}
        bucket, key = tags["martlet.artifacts_bucket"], tags["martlet.artifacts_key"]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prefix = key.rsplit("/", 1)[0]
            self._move("get", f"s3://{bucket}/{key}", str(folder / "manifest.json"))
            entries = json.loads((folder / "manifest.json").read_text())["entries"]
            (folder / "merged").mkdir()
            for entry in entries:
                if entry["name"].startswith("merged/"):
                    self._move("get", f"s3://{bucket}/{prefix}/{entry['name']}", str(folder / entry["name"]))
            change(folder / "merged")
            target = f"serve-demo/{kind}-{champion['version']}-{Path(name).name}"
            files = []
            for path in sorted((folder / "merged").iterdir()):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                files.append({"name": f"merged/{path.name}", "bytes": path.stat().st_size, "sha256": digest})
                self._move("put", str(path), f"s3://{bucket}/{target}/merged/{path.name}")
            manifest = folder / "manifest.json"
            manifest.write_text(json.dumps({"version": 1, "annotations": {"made": kind}, "entries": files}))
            self._move("put", str(manifest), f"s3://{bucket}/{target}/manifest.json")
            version = self.registry.create(
                self.model,
                f"s3://{bucket}/{target}/merged",
                {
                    "martlet.artifacts_bucket": bucket,
                    "martlet.artifacts_key": f"{target}/manifest.json",
                    "martlet.artifacts_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
                    "martlet.made_for": f"serve demo: {kind}",
                    # Whose held-out answers it is compared on.
                    "martlet.run_id": tags["martlet.run_id"],
                },
            )
        self.registry.point(self.model, "challenger", version)
        return version


def garbage(folder):
    """Weights that mean nothing: the same shapes and sizes of numbers, all from a generator."""
    import torch  # pylint: disable=import-outside-toplevel
    from safetensors.torch import load_file, save_file  # pylint: disable=import-outside-toplevel

    generator = torch.Generator().manual_seed(7)
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        noise = torch.randn(value.shape, generator=generator) * value.float().std().clamp(min=1e-3)
        weights[name] = noise.to(value.dtype)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def slow(folder, times=5):
    """The same answers, several times as slowly: layers that add nothing to what goes through them."""
    import torch  # pylint: disable=import-outside-toplevel
    from safetensors.torch import load_file, save_file  # pylint: disable=import-outside-toplevel

    config = json.loads((folder / "config.json").read_text())
    layers = config["num_hidden_layers"]
    weights = load_file(folder / "model.safetensors")
    for number in range(layers, layers * times):
        source = f"model.layers.{number % layers}."
        for name in [name for name in weights if name.startswith(source)]:
            value = weights[name].clone()
            # What these two give is added to the stream: zeros leave it as it is.
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                value = torch.zeros_like(value)
            weights[f"model.layers.{number}." + name[len(source):]] = value
    config["num_hidden_layers"] = layers * times
    config.pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
