"""What can change does so alone: what nobody named stays, whoever changes it at the same moment."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dask_batch import Data, Environment, LocalCompute, Model, ModelDeployment
from dask_batch.errors import AlreadyExists, DeploymentInvalid, InputError, InvalidDefinition, NotFound, Refused
from dask_batch.specs.endpoint import EndpointSpec


def script(code, name="chars", **keywords):
    return ModelDeployment(name=name, code=str(code), scoring_script="score.py", **keywords)


def at_once(work, count=8):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


class TestDefaults:
    def test_one_that_is_wished_for_is_it_once_it_is_deployed(self, ws, code, files):
        endpoint = ws.endpoints.create(EndpointSpec(name="e", defaults={"deployment_name": "blue"}))
        endpoint.deploy(script(code, "green"), validate=False)
        assert endpoint.default_deployment is None
        assert endpoint.spec.defaults.deployment_name == "blue"
        with pytest.raises(Refused, match=r"'blue' as its default deployment, which is not there yet.*green"):
            endpoint.invoke(files)
        endpoint.deploy(script(code, "blue"), validate=False)
        assert endpoint.default_deployment.name == "blue"

    def test_a_wish_ends_with_another_choice(self, ws, code):
        endpoint = ws.endpoints.create("e", defaults={"deployment_name": "blue"})
        endpoint.update(description="still wished for", defaults={"deployment_name": "blue"})
        endpoint.update(default_deployment=None)
        endpoint.deploy(script(code, "green"), validate=False)
        endpoint.deploy(script(code, "blue"), validate=False)
        assert endpoint.default_deployment.name == "green"

    def test_it_switches_by_either_name_and_is_not_unset(self, ws, code):
        endpoint = ws.endpoints.create("e")
        for name in ("a", "b"):
            endpoint.deploy(script(code, name), validate=False)
        endpoint.update(defaults={"deployment_name": "b"})
        assert endpoint.default_deployment.name == "b"
        endpoint.update(default_deployment=endpoint.deployments["a"])
        assert endpoint.default_deployment.name == "a"
        with pytest.raises(Refused, match="'a', and those who invoke it rely on one"):
            endpoint.default_deployment = None
        with pytest.raises(Refused, match="rely on one"):
            endpoint.change({"defaults.deployment_name": None})

    def test_an_update_happens_as_a_whole_or_not_at_all(self, ws, code):
        endpoint = ws.endpoints.create("e", description="old")
        endpoint.deploy(script(code), validate=False)
        with pytest.raises(NotFound, match="no deployment 'nope'; deployments: chars"):
            endpoint.update(description="new", default_deployment="nope")
        assert (endpoint.spec.description, endpoint.default_deployment.name) == ("old", "chars")


class TestAtOnce:
    def test_what_others_change_meanwhile_stays(self, ws, code):
        endpoint = ws.endpoints.create("e")
        for name in ("a", "b"):
            endpoint.deploy(script(code, name), validate=False)
        changes = [{f"tags.t{n}": str(n)} for n in range(6)] + [{"description": "x"}, {"defaults.deployment_name": "b"}]
        at_once(lambda n: ws.endpoints["e"].change(changes[n]))
        spec = endpoint.spec
        assert (len(spec.tags), spec.description, spec.defaults.deployment_name) == (6, "x", "b")
        at_once(lambda n: ws.compute.change("local", {f"tags.t{n}": str(n)}))
        assert len(ws.compute["local"].tags) == 8

    def test_creating_or_updating_the_same_succeeds_for_all(self, ws):
        at_once(lambda n: ws.endpoints.create_or_update("e", description=str(n)))
        at_once(lambda n: ws.compute.create_or_update("c", max_instances=n + 1))
        assert list(ws.endpoints) == ["e"] and list(ws.compute) == ["c", "local"]


class TestNames:
    def test_nothing_is_renamed_by_an_update(self, ws, code):
        endpoint = ws.endpoints.create("e")
        deployment = endpoint.deploy(script(code), validate=False)
        ws.compute.create("c")
        for change in (
            lambda: endpoint.update(name="other"),
            lambda: endpoint.change({"name": "other"}),
            lambda: deployment.update(name="other"),
            lambda: deployment.update(name="other", code=str(code)),
            lambda: deployment.update(endpoint_name="other"),
            lambda: ws.compute.change("local", {"name": "other"}),
        ):
            with pytest.raises(InvalidDefinition, match="renamed"):
                change()
        assert (list(ws.endpoints), list(endpoint.deployments)) == (["e"], ["chars"])
        assert list(ws.compute) == ["c", "local"]


class TestInlineAssets:
    def weights(self, tmp_path, text="1"):
        (tmp_path / "weights.bin").write_text(text)
        return str(tmp_path / "weights.bin")

    def test_a_version_is_deployed_as_often_as_it_is_the_same(self, ws, code, tmp_path):
        endpoint = ws.endpoints.create("e")
        spec = script(code, model=Model(name="sm", version="1", path=self.weights(tmp_path)))
        first = endpoint.deploy(spec, validate=False)
        again = endpoint.deploy(spec, replace=True, validate=False)
        assert first.snapshot.model == again.snapshot.model
        assert (first.snapshot.model.name, first.snapshot.model.version) == ("sm", "1")
        unversioned = script(code, "second", model=Model(name="sm", path=self.weights(tmp_path)))
        assert endpoint.deploy(unversioned, validate=False).snapshot.model.version == "1"
        self.weights(tmp_path, "2")
        with pytest.raises(AlreadyExists, match="'sm:1' is registered and holds something else"):
            endpoint.deploy(spec, replace=True, validate=False)
        assert endpoint.deploy(unversioned, replace=True, validate=False).snapshot.model.version == "2"
        assert list(ws.models) == ["sm:2", "sm:1"]

    def test_nothing_is_registered_by_a_deployment_that_does_not_load(self, ws, code, tmp_path):
        spec = script(
            code,
            model=Model(name="sm", version="1", path=self.weights(tmp_path)),
            environment=Environment(name="env", version="1", python=sys.executable),
        )
        good = (code / "score.py").read_text()
        (code / "score.py").write_text("import no_such_package")
        endpoint = ws.endpoints.create("e")
        with pytest.raises(DeploymentInvalid, match="no_such_package"):
            endpoint.deploy(spec)
        assert list(ws.models) == list(ws.environments) == []
        (code / "score.py").write_text(good)
        made = endpoint.deploy(spec)
        assert list(ws.models) == ["sm:1"] and list(ws.environments) == ["env:1"]
        assert (made.snapshot.environment.name, made.snapshot.environment.version) == ("env", "1")

    def test_a_named_environment_is_registered_once(self, ws, code):
        endpoint = ws.endpoints.create("e")
        for name in ("a", "b"):
            environment = Environment(name="env", requirements=["tabulate==0.9.0"])
            made = endpoint.deploy(script(code, name, environment=environment), validate=False)
            assert made.snapshot.environment.version == "1"
        other = Environment(name="env", version="1", requirements=["tabulate"])
        with pytest.raises(AlreadyExists, match="environment 'env:1' is registered and holds something else"):
            endpoint.deploy(script(code, "c", environment=other), validate=False)

    def test_a_registered_model_without_a_version_is_its_latest(self, ws, code, tmp_path):
        for text in ("1", "2"):
            ws.models.create("wmodel", path=self.weights(tmp_path, text))
        made = ws.endpoints.create("e").deploy(script(code, model="azureml:wmodel"), validate=False)
        assert made.snapshot.model.version == "2"


class TestAssets:
    def test_what_is_said_about_a_version_changes_and_nothing_else(self, ws, tmp_path):
        (tmp_path / "weights.bin").write_text("1")
        ws.models.create("m", path=str(tmp_path / "weights.bin"), tags={"a": "1"})
        changed = ws.models.update("m", description="new", properties={"p": "q"})
        assert (changed.description, changed.tags, changed.properties) == ("new", {"a": "1"}, {"p": "q"})
        assert ws.models.change("m", "1", {"tags.b": "2"}).tags == {"a": "1", "b": "2"}
        assert ws.models["m:1"].path == changed.path
        with pytest.raises(InvalidDefinition, match=r"path of model 'm:1' cannot change.*register a new version"):
            ws.models.update("m", path="elsewhere")
        with pytest.raises(InvalidDefinition, match=r"name, version of model 'm:1' cannot change"):
            ws.models.change("m", "1", {"name": "n", "version": "2"})
        with pytest.raises(NotFound, match="versions: 1"):
            ws.models.update("m", "7", description="x")

    def test_datastores_are_refused_wherever_they_are_named(self, ws, scripted, files):
        uri = "azureml://datastores/d/paths/p"
        with pytest.raises(InvalidDefinition, match=r"data path .*datastore URIs lead nowhere here"):
            ws.data.create(Data(name="d", path=uri))
        with pytest.raises(InvalidDefinition, match=r"model path .*datastore URIs lead nowhere here"):
            ws.models.create(Model(name="m", path=uri))
        with pytest.raises(InvalidDefinition, match=r"output=.*datastore URIs lead nowhere here"):
            scripted.invoke(files, output=uri)
        with pytest.raises(InputError, match="datastore URIs lead nowhere here"):
            scripted.invoke(uri)

    def test_an_interpreter_is_held_by_where_it_is(self, ws, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        os.symlink(sys.prefix, tmp_path / "my-env")
        assert ws.environments.create("a", python="my-env/bin/python").python == str(tmp_path / "my-env/bin/python")
        assert ws.environments.create("b", python="my-env").python == str(tmp_path / "my-env")
        assert ws.environments.create("c", python="sh").python == shutil.which("sh")
        with pytest.raises(InvalidDefinition, match="no such command on the PATH"):
            ws.environments.create("d", python="python0.1")


class TestComputes:
    def test_deleting_the_one_that_is_always_there_is_done_at_once(self, ws):
        ws.compute.delete("local")
        ws.compute.create_or_update(LocalCompute(name="local", slots=1))
        ws.compute.delete("local")
        ws.compute.delete("local")
        assert ws.compute["local"].slots is None

    def test_one_with_jobs_is_kept_even_when_no_host_lives(self, ws, code, files, end_host, eventually):
        ws.compute.create("two", slots=1)
        endpoint = ws.endpoints.create("e")
        endpoint.deploy(script(code, compute="two"), validate=False)
        job = endpoint.invoke(files, params={"sleep": 100}, timeout=200)
        ws.compute.stop("two")
        with pytest.raises(Refused, match=f"'two' has jobs that have not ended \\(1: {job.name}\\)"):
            ws.compute.delete("two")
        job.cancel()
        ws.compute.delete("two")
        assert list(ws.compute) == ["local"]
        with pytest.raises(NotFound, match=f"'{job.name}' ran on a compute that is gone: .*'two'.*Create it again"):
            job.resume()
        assert job.status == "Canceled"


class TestOverrides:
    def test_variables_of_an_invocation_are_text_as_it_was_written(self, ws, code, scripted):
        (code / "score.py").write_text("import os\ndef init(): pass\ndef run(m): return [os.environ['A']] * len(m)\n")
        made = scripted.deploy(script(code, "env", max_retries=0), validate=False)
        for given, seen in (
            ({"environment_variables.A": "02134"}, "02134"),
            ({"environment_variables": {"A": "no"}}, "no"),
        ):
            result = made.test([code / "score.py"], **given)
            assert result.outputs.iloc[0, -1] == seen or seen in result.outputs.astype(str).to_numpy()

    def test_a_setting_is_given_once_whatever_its_name(self, scripted, files):
        with pytest.raises(InvalidDefinition, match="timeout is given twice"):
            scripted.invoke(files, set={"timeout": 5, "retry_settings.timeout": 9})
        with pytest.raises(InvalidDefinition, match="timeout='1:30': must be a number of seconds"):
            scripted.invoke(files, set={"timeout": "1:30"})
        with pytest.raises(InvalidDefinition, match="logging_level='off': must be"):
            scripted.invoke(files, set={"logging_level": "off"})

    def test_an_output_place_may_begin_at_home(self, ws, scripted, files, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        job = scripted.invoke(files, output="~/out")
        assert job.outputs["score"] == str(tmp_path / "home" / "out")
        job.cancel()

    def test_a_name_that_half_an_invocation_took_says_how_to_free_it(self, ws, scripted, files):
        row = {"endpoint": "counter", "deployment": "chars", "compute": "local", "owner": "tester", "created": "2026"}
        ws.catalog.add_job("half", **row)
        with pytest.raises(AlreadyExists, match=r"'half' already, of an invocation that broke off.*ws\.jobs\.delete"):
            scripted.invoke(files, job_name="half")
        ws.jobs.delete("half")
        scripted.invoke(files, job_name="half").cancel()
