"""The site in containers, read and cross-checked: names, ports, paths, users, rights, images, commands, health, policy."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua54

from remediator.cli.root import root
from remediator.config import load_settings, rule_paths
from remediator.config.exporter_settings import load_exporter_settings
from remediator.core.rules import Mode
from remediator.exporter.app import Intake
from remediator.exporter.records import Reading
from remediator.exporter.series import Posts
from remediator.exporter.tally import Tally
from remediator.system import SystemClock
from tests.kit.stack import COMPOSE, HOUSE, PORTS, Here, Prepared, Site, native, prepared, secret_paths, write

SITE = Site()
NAMES = sorted(SITE.services)
OURS = [name for name in NAMES if SITE.services[name]["image"].startswith("remediator:")]
PINNED = re.compile(r"[a-z0-9./-]+:v?[0-9]+(?:\.[0-9]+)+[A-Za-z0-9.-]*")
# What a container may change outside its volumes: the rates, and the Engine behind the proxy.
MAY_CHANGE = {("remediator", "./compose/state/shaping"), ("docker-proxy", "/var/run/docker.sock")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("site"))


# ── what every container is held to ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", NAMES)
def test_every_container_is_held_to_little(name: str) -> None:
    service = SITE.services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"mem_limit", "healthcheck", "logging"} <= set(service)
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode", "env_file"} & set(service)
    assert service.get("network_mode", "none") == "none"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_root_but_kumod_which_gives_it_up(name: str) -> None:
    service = SITE.services[name]
    if name == "kumod":
        assert "user" not in service
        assert set(service["cap_add"]) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE"}
        return
    assert "cap_add" not in service
    assert int(service["user"].partition(":")[0]) > 0


@pytest.mark.parametrize("name", NAMES)
def test_images_are_pinned_to_an_exact_version(name: str) -> None:
    assert PINNED.fullmatch(SITE.services[name]["image"]), SITE.services[name]["image"]


@pytest.mark.parametrize("name", NAMES)
def test_only_mail_is_open_to_the_world(name: str) -> None:
    opened = [str(port) for port in SITE.services[name].get("ports", [])]
    for text in opened:
        assert text == "25:25" or text.startswith("127.0.0.1:"), text
        assert int(text.rpartition(":")[2]) in PORTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mounted_is_there_and_read_only_unless_it_is_meant_to_change(name: str, made: Prepared) -> None:
    for mount in SITE.mounts(name):
        if mount.is_volume:
            assert mount.source in SITE.raw["volumes"]
            continue
        place = made.root if mount.source.startswith("./compose/") else HOUSE
        if not mount.source.startswith("/"):
            assert (place / mount.source).exists(), mount.source
        assert mount.read_only or (name, mount.source) in MAY_CHANGE, mount


def test_the_docker_socket_is_in_one_container_that_has_no_network() -> None:
    holders = [name for name in NAMES for mount in SITE.mounts(name) if mount.source == "/var/run/docker.sock"]
    assert holders == ["docker-proxy"]
    assert SITE.services["docker-proxy"]["network_mode"] == "none"
    assert SITE.services["docker-proxy"]["profiles"] == ["restart"]


def test_profiles_say_what_is_left_out() -> None:
    profiles = {name: SITE.services[name].get("profiles") for name in NAMES}
    assert {name for name, found in profiles.items() if found is None} == {"remediator", "redis"}
    assert {name for name, found in profiles.items() if found == ["mail"]} == {"kumod", "kumo-exporter"}
    assert {name for name, found in profiles.items() if found == ["monitoring"]} == {
        "prometheus",
        "alertmanager",
        "grafana",
    }


def test_every_volume_and_every_network_that_is_declared_is_used() -> None:
    used = {mount.source for name in NAMES for mount in SITE.mounts(name) if mount.is_volume}
    assert used == set(SITE.raw["volumes"])
    assert set(SITE.raw["networks"]) == {"site"}


def parsed(command: str, flags: list[str]) -> None:
    """Lets click read a command line as `remediator` would; its UsageError if it does not."""
    top = root.make_context("remediator", [command, *flags])
    found = root.get_command(top, command)
    assert found is not None
    found.make_context(command, list(flags), parent=top)


# ── commands and health ──────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", OURS)
def test_our_commands_exist_and_take_these_flags(name: str) -> None:
    command, *flags = SITE.services[name]["command"]
    parsed(command, [str(flag) for flag in flags])


@pytest.mark.parametrize("name", OURS)
def test_our_settings_are_mounted_where_the_command_looks(name: str) -> None:
    flags = [str(flag) for flag in SITE.services[name]["command"]]
    targets = {mount.target for mount in SITE.mounts(name)}
    if "--config.file" in flags:
        assert flags[flags.index("--config.file") + 1] in targets
    if "--listen" in flags:
        assert str(Path(flags[flags.index("--listen") + 1]).parent) in targets


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("remediator", "http://127.0.0.1:9097/-/ready"),
        ("kumo-exporter", "http://127.0.0.1:9925/-/ready"),
        ("docker-proxy", "/_ping"),
        ("kumod", "GET /api/check-liveness/v1"),
        ("prometheus", "http://127.0.0.1:9090/-/ready"),
        ("alertmanager", "http://127.0.0.1:9093/-/ready"),
        ("grafana", "http://127.0.0.1:3000/api/health"),
        ("redis", "redis-cli --user ping ping"),
    ],
)
def test_health_is_asked_where_it_is_told(name: str, told: str) -> None:
    health = SITE.services[name]["healthcheck"]
    assert told in " ".join(health["test"])
    assert health["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(health)
    for part in health["test"]:
        if part.startswith("import "):
            compile(part, name, "exec")


def test_the_service_has_time_to_stop() -> None:
    settings = load_settings(HOUSE / "compose" / "remediator.yml")
    seconds = int(SITE.services["remediator"]["stop_grace_period"].removesuffix("s"))
    assert seconds > settings.limits.grace + 5


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_secret_is_made_by_prepare_and_read_by_one_container(made: Prepared) -> None:
    declared = {name: Path(one["file"]).name for name, one in SITE.raw["secrets"].items()}
    readers = Counter(source for name in NAMES for source in SITE.secrets(name).values())
    assert readers == Counter(dict.fromkeys(declared, 1))
    assert {path.name for path in made.secrets.iterdir()} == set(declared.values())
    for path in made.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert len(path.read_text().strip()) >= 32


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("remediator-webhook-token", "alertmanager-webhook-token"),
        ("remediator-scrape-token", "prometheus-remediator-token"),
        ("exporter-scrape-token", "prometheus-exporter-token"),
        ("exporter-hook-token", "kumod-hook-token"),
    ],
)
def test_what_two_sides_share_is_the_same_and_of_nobody_else(made: Prepared, first: str, second: str) -> None:
    assert made.secret(first) == made.secret(second)
    others = [made.secret(path.name) for path in made.secrets.iterdir() if path.name not in {first, second}]
    assert made.secret(first) not in others


def test_secrets_belong_to_the_user_of_their_container() -> None:
    script = (COMPOSE / "prepare").read_text()
    owners = {
        name: user
        for user, name in re.findall(r"(?:give|both)?\s(\d+)\s+(?:\"[^\"]*\"\s+)?([a-z]+(?:-[a-z]+)+)", script)
    }
    owners["redis-users"] = re.findall(r"own (\d+) secrets/redis-users", script)[0]
    for name in NAMES:
        user = "1000" if name == "kumod" else SITE.services[name]["user"].partition(":")[0]
        for secret in SITE.secrets(name).values():
            assert owners[secret] == user, secret


def test_running_prepare_again_changes_nothing(made: Prepared) -> None:
    import subprocess

    before = {path.name: path.read_text() for path in made.secrets.iterdir()}
    subprocess.run([made.root / "compose" / "prepare", "--here"], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in made.secrets.iterdir()} == before


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def config_files(name: str, made: Prepared) -> list[Path]:
    """The files that a container reads its configuration from; of two at one place the one mounted over the other."""
    found: dict[str, Path] = {}
    for mount in SITE.mounts(name):
        path = made.root / mount.source
        if not mount.source.startswith("./") or not path.exists():
            path = HOUSE / mount.source
        if mount.source.startswith("./"):
            inner = (
                [path]
                if path.is_file()
                else [one for one in path.rglob("*") if one.suffix in {".yml", ".lua", ".toml"}]
            )
            found |= {f"{mount.target}/{one.relative_to(path)}".removesuffix("/."): one for one in inner}
    return list(found.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_that_a_file_names_is_there_and_every_one_that_is_there_is_named(
    name: str, made: Prepared
) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in config_files(name, made))
    text += json.dumps([SITE.services[name].get(key) for key in ("environment", "healthcheck", "command")])
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "--"))]
    named = set(re.findall(r"/run/secrets/[a-z.-]+[a-z]", "\n".join(lines)))
    assert named == set(SITE.secrets(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_address_that_a_file_names_is_a_service_that_listens_there(name: str, made: Prepared) -> None:
    known = {f"{service}:{port}" for service, ports in PORTS.items() for port in ports}
    text = "\n".join(path.read_text(encoding="utf-8") for path in config_files(name, made))
    found = re.findall(r"(?:https?|redis)://([a-z][a-z0-9-]*:[0-9]+)", text)
    found += re.findall(r"targets: \[\"([a-z][a-z-]*:[0-9]+)\"\]", text)
    assert {one for one in found if not one.startswith(("localhost:", "d:"))} <= known
    assert found or name in {"redis", "docker-proxy", "kumo-exporter"}


def test_the_settings_of_the_service_load_in_dry_run_and_find_their_rules(made: Prepared, tmp_path: Path) -> None:
    paths = {**secret_paths(SITE, "remediator", made), "/etc/remediator": tmp_path, "/var/lib/remediator": tmp_path}
    text = native((COMPOSE / "remediator.yml").read_text(), hosts={}, paths=paths)
    assert "/run/secrets" not in text
    (tmp_path / "rules").mkdir()
    for rules in HOUSE.glob("rules/*.yml"):
        write(tmp_path / "rules" / rules.name, rules.read_text())
    settings = load_settings(write(tmp_path / "remediator.yml", text))
    assert settings.mode is Mode.DRY_RUN
    assert settings.warnings == ()
    assert rule_paths(settings)
    assert settings.web.listen_address == f"0.0.0.0:{PORTS['remediator'][0]}"


def test_what_the_service_may_touch_is_in_the_site() -> None:
    targets = load_settings(COMPOSE / "remediator.yml").targets
    assert targets.docker is not None
    assert targets.kumomta is not None
    (container,) = targets.docker.allow
    assert SITE.services["kumod"]["container_name"] == container == next(iter(targets.kumomta.nodes))
    flags = SITE.services["docker-proxy"]["command"]
    assert flags[flags.index("--allow") + 1] == container
    assert flags[flags.index("--listen") + 1] == str(targets.docker.socket)
    shaping = targets.kumomta.shaping_files[container]
    mine = {mount.target: mount.source for mount in SITE.mounts("remediator")}
    theirs = {mount.source: mount.target for mount in SITE.mounts("kumod")}
    assert f"{theirs[mine[str(shaping.parent)]]}/{shaping.name}" in (COMPOSE / "kumod/policy/init.lua").read_text()
    assert f"PORTS {PORTS['kumod'][0]}" == f"PORTS {targets.kumomta.nodes[container].url.rpartition(':')[2]}"


def test_the_settings_of_the_exporter_load_without_a_word(made: Prepared, tmp_path: Path) -> None:
    text = native((COMPOSE / "exporter.yml").read_text(), hosts={}, paths=secret_paths(SITE, "kumo-exporter", made))
    settings = load_exporter_settings(write(tmp_path / "exporter.yml", text))
    assert settings.warnings == ()
    assert settings.web.listen_address == f"0.0.0.0:{PORTS['kumo-exporter'][0]}"
    assert settings.reputation.ips == (), "nobody is asked about addresses that are not theirs"
    assert len(settings.reputation.lists) == 3


def test_the_ips_that_the_exporter_s_file_shows_are_right_when_they_are_uncommented(
    made: Prepared, tmp_path: Path
) -> None:
    text = re.sub(r"(?m)^  # (ips:|  - )", r"  \1", (COMPOSE / "exporter.yml").read_text())
    text = native(text, hosts={}, paths=secret_paths(SITE, "kumo-exporter", made))
    assert load_exporter_settings(write(tmp_path / "exporter.yml", text)).reputation.ips == (("192.0.2.25", "ip-1"),)


def test_prometheus_and_alertmanager_show_the_tokens_that_are_asked_of_them(made: Prepared) -> None:
    prometheus = yaml.safe_load((made.root / "compose/state/prometheus.yml").read_text())
    shown = {
        job["job_name"]: made.secret(SITE.secrets("prometheus")[job["authorization"]["credentials_file"]])
        for job in prometheus["scrape_configs"]
        if "authorization" in job
    }
    assert shown == {
        "remediator": made.secret("remediator-scrape-token"),
        "kumo-exporter": made.secret("exporter-scrape-token"),
    }
    alertmanager = yaml.safe_load((made.root / "compose/state/alertmanager.yml").read_text())
    (hook,) = next(one for one in alertmanager["receivers"] if one["name"] == "remediator")["webhook_configs"]
    secret = SITE.secrets("alertmanager")[hook["http_config"]["authorization"]["credentials_file"]]
    assert made.secret(secret) == made.secret("remediator-webhook-token")


def test_prometheus_calls_the_node_as_the_service_does() -> None:
    jobs = yaml.safe_load((HOUSE / "monitoring/prometheus.yml").read_text())["scrape_configs"]
    (node,) = next(job for job in jobs if job["job_name"] == "kumod")["static_configs"]
    assert node["labels"]["instance"] == SITE.services["kumod"]["container_name"]


def test_grafana_finds_its_dashboards_where_they_are_mounted() -> None:
    provider = yaml.safe_load((HOUSE / "monitoring/grafana/provisioning/dashboards/remediator.yml").read_text())
    assert provider["providers"][0]["options"]["path"] in {mount.target for mount in SITE.mounts("grafana")}


def test_redis_forgets_nothing() -> None:
    lines = [line.split(maxsplit=1) for line in (COMPOSE / "redis.conf").read_text().splitlines()]
    found = {line[0]: line[1] for line in lines if len(line) == 2 and not line[0].startswith("#")}
    assert (found["maxmemory-policy"], found["appendonly"], found["appendfsync"]) == ("noeviction", "yes", "always")
    assert found["aof-load-truncated"] == "no"
    assert found["dir"] in {mount.target for mount in SITE.mounts("redis")}


# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_image_is_made_in_two_stages_of_pinned_images_and_is_not_root(made: Prepared) -> None:
    text = (HOUSE / "Dockerfile").read_text()
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    assert len(stages) == 2
    assert all(PINNED.fullmatch(stage) for stage in stages)
    user = re.findall(r"(?m)^USER (\S+)", text)
    assert user == [SITE.services["remediator"]["user"]]
    assert "/-/ready" in text.partition("HEALTHCHECK")[2]
    assert set(re.findall(r"(?m)^EXPOSE (.+)", text)[0].split()) == {"9097", "9925"}
    scripts = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(re.findall(r"(?m)^ENTRYPOINT (.+)", text)[0])[0] in scripts
    command, *flags = json.loads(re.findall(r"(?m)^CMD (.+)", text)[-1])
    parsed(command, flags)


def test_what_the_image_copies_is_let_through_and_nothing_else_is() -> None:
    let = {
        line.removeprefix("!") for line in (HOUSE / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied: set[str] = set()
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)", (HOUSE / "Dockerfile").read_text()):
        copied |= {Path(part).name for part in line.split()[:-1]}
    assert copied == let
    assert all((HOUSE / name).exists() for name in copied)


# ── kumod's policy ───────────────────────────────────────────────────────────────────────────────────────────────────
class Policy:
    """kumod's policy, run in Lua with stand-ins for kumod's modules; what it registered and configured is here."""

    def __init__(self) -> None:
        self.lua = lua54.LuaRuntime(unpack_returned_tuples=True)
        self.on: dict[str, list[Any]] = {}
        self.called: list[tuple[str, Any]] = []
        self.posts: list[dict[str, Any]] = []
        self.answer = 200
        self.lua.globals().python = self
        self.lua.execute(STAND_INS % {"policy": str(COMPOSE / "kumod" / "policy")})
        self.lua.execute((COMPOSE / "kumod/policy/init.lua").read_text())

    def register(self, name: str, function: Any) -> None:
        self.on.setdefault(name, []).append(function)

    def note(self, name: str, given: Any) -> Any:
        self.called.append((name, given))
        return given

    def post(self, url: str, body: str, token: str, kind: str) -> int:
        self.posts.append({"url": url, "body": body, "token": token, "kind": kind})
        return self.answer

    def decode(self, text: str) -> Any:
        return self.lua.table_from(json.loads(text), recursive=True)

    def encode(self, value: Any) -> str:
        return json.dumps(_plain(value))

    def configured(self, name: str) -> list[Any]:
        return [_plain(given) for called, given in self.called if called == name]


def _plain(value: Any) -> Any:
    if lua54.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and all(isinstance(key, int) for key in keys):
        return [_plain(value[key]) for key in sorted(keys)]
    return {str(key): _plain(value[key]) for key in keys}


STAND_INS = """
local function noting(name) return function(given) return python.note(name, given) end end
local kumo = {
  on = function(name, call) python.register(name, call) end,
  reject = function(code, text) error(string.format('%%d %%s', code, text), 0) end,
  secrets = { load = function(path) python.note('secret', path); return 'the-token\\n' end },
  serde = { json_parse = function(text) return python.decode(text) end,
            json_encode = function(value) return python.encode(value) end },
  http = { build_client = function()
    local client = {}
    function client:post(url)
      local request, kind, token, body = {}, '', '', ''
      function request:header(name, value) if name == 'Content-Type' then kind = value end return self end
      function request:bearer_auth(value) token = value return self end
      function request:body(value) body = value return self end
      function request:send()
        local code = python.post(url, body, token, kind)
        return { status_code = function() return code end, status_reason = function() return 'said' end,
                 status_is_success = function() return code >= 200 and code < 300 end }
      end
      return request
    end
    function client:close() end
    return client
  end },
}
setmetatable(kumo, { __index = function(_, name) return noting(name) end })
package.preload['kumo'] = function() return kumo end
package.preload['policy-extras.log_hooks'] = function()
  return { new = function(_, options) python.note('log_hook', options) end }
end
package.preload['policy-extras.shaping'] = function()
  return { setup_with_automation = function(_, options)
    python.note('shaping', options)
    return { get_egress_path_config = function() end }
  end }
end
package.preload['policy.outcomes'] = function() return dofile('%(policy)s/outcomes.lua') end
"""


@pytest.fixture
def policy() -> Policy:
    return Policy()


class Message:
    """A log message as the hook gets it."""

    def __init__(self, record: dict[str, object]) -> None:
        self.record = record

    def get_data(self, *_self: object) -> str:
        return json.dumps(self.record)


def sent(policy: Policy, records: list[dict[str, object]]) -> str:
    """What the hook's connection says after a batch."""
    (hook,) = [given for name, given in policy.called if name == "log_hook"]
    connection = hook.constructor()
    messages = policy.lua.table_from([policy.lua.eval("function(text) return { get_data = function() return text end } end")(
        json.dumps(record)) for record in records])  # fmt: skip
    return str(connection.send_batch(connection, messages))


RECORDS: list[dict[str, object]] = [
    {
        "type": "Bounce", "id": "1", "sender": "b@acme.example", "recipient": "ann.private@gmail.com",
        "queue": "spring:acme@gmail.com", "egress_source": "ip-1", "bounce_classification": "InvalidRecipient",
        "meta": {"tenant": "acme"}, "response": {"code": 550, "content": "no such user"}, "num_attempts": 0,
    },
    {
        "type": "Feedback", "id": "2", "sender": "fbl@receiver.example", "recipient": "fbl@acme.example",
        "queue": "fbl.example",
        "feedback_report": {
            "feedback_type": "abuse", "original_mail_from": "<b@acme.example>", "original_message": "Dear Ann Private",
            "supplemental_trace": {"tenant": "acme", "campaign": "spring"},
        },
    },
]  # fmt: skip


def test_the_policy_trusts_exactly_the_service_and_prometheus(policy: Policy) -> None:
    (start,) = policy.on["init"]
    start()
    (listener,) = policy.configured("start_http_listener")
    assert listener["listen"] == f"0.0.0.0:{PORTS['kumod'][0]}"
    wanted = {"127.0.0.1", "::1", SITE.address("remediator"), SITE.address("prometheus")}
    assert set(listener["trusted_hosts"]) == wanted
    (smtp,) = policy.configured("start_esmtp_listener")
    assert smtp["listen"] == f"0.0.0.0:{PORTS['kumod'][1]}"
    assert set(smtp["relay_hosts"]) == {"127.0.0.1", SITE.raw["networks"]["site"]["ipam"]["config"][0]["subnet"]}
    assert set(smtp["trace_headers"]["include_meta_names"]) == {"tenant", "campaign"}
    volumes = {mount.target for mount in SITE.mounts("kumod") if mount.is_volume}
    places = [one["path"] for one in policy.configured("define_spool")]
    places += [one["log_dir"] for one in policy.configured("configure_local_logs")]
    assert all(any(place.startswith(volume) for volume in volumes) for place in places)


def test_the_policy_shapes_by_the_file_that_the_service_edits(policy: Policy) -> None:
    (shaping,) = policy.configured("shaping")
    (file,) = shaping["extra_files"]
    mounts = {mount.target for mount in SITE.mounts("kumod")}
    assert str(Path(file).parent) in mounts
    assert tomllib.loads((COMPOSE / "kumod/shaping" / Path(file).name).read_text())["default"]["max_message_rate"]


def test_the_hook_comes_before_the_queues_take_everything(policy: Policy) -> None:
    text = (COMPOSE / "kumod/policy/init.lua").read_text()
    assert text.index("outcomes:setup") < text.index("'get_queue_config'")
    assert policy.on["get_queue_config"]


def test_the_hook_posts_a_batch_that_the_exporter_counts(policy: Policy) -> None:
    assert sent(policy, RECORDS) == "200 said"
    (post,) = policy.posts
    assert post["url"] == f"http://kumo-exporter:{PORTS['kumo-exporter'][0]}/api/v1/log-records"
    assert (post["token"], post["kind"]) == ("the-token", "application/json")
    assert ("secret", "/run/secrets/hook-token") in policy.called
    tally = Tally(places=10, quiet=60.0)
    found = Intake(tally, Posts(), Reading(), SystemClock()).take(post["body"].encode())
    assert found == {"counted": 2, "ignored": 0, "duplicate": 0, "malformed": 0}
    counts = {(by, name, outcome) for by, name, outcome, _ in tally.series()}
    assert ("campaign", "spring", "bounced") in counts
    assert ("campaign", "spring", "complaint") in counts
    assert ("source", "ip-1", "bounced") in counts


def test_the_hook_leaves_people_s_names_and_mail_where_they_are(policy: Policy) -> None:
    sent(policy, RECORDS)
    assert "rivate" not in policy.posts[0]["body"]
    assert "someone@gmail.com" in policy.posts[0]["body"]


@pytest.mark.parametrize(
    ("code", "told"), [(503, "451"), (500, "451"), (302, "451"), (400, "550"), (401, "550"), (413, "550")]
)
def test_the_hook_tries_again_what_passes_and_gives_up_what_does_not(policy: Policy, code: int, told: str) -> None:
    policy.answer = code
    with pytest.raises(lua54.LuaError, match=told):
        sent(policy, RECORDS)


def test_tenant_and_campaign_come_from_headers_and_do_not_leave(policy: Policy) -> None:
    (received,) = policy.on["smtp_server_message_received"]
    seen: dict[str, str] = {}
    removed: list[str] = []
    policy.lua.globals().seen = lambda name, value: seen.update({name: value})
    policy.lua.globals().removed = lambda names: removed.extend(names.values())
    received(
        policy.lua.eval(
            "{ get_first_named_header_value = function(_, name) return name == 'X-Tenant' and 'acme' or nil end,"
            "  set_meta = function(_, name, value) seen(name, value) end,"
            "  remove_x_headers = function(_, names) removed(names) end }"
        )
    )
    assert seen == {"tenant": "acme"}
    assert set(removed) == {"x-tenant", "x-campaign"}


def test_the_whole_site_can_be_had_on_loopback(tmp_path: Path) -> None:
    here = Here(tmp_path / "site")
    settings = load_settings(here.config("remediator", "/etc/remediator/remediator.yml"))
    assert settings.prometheus is not None
    assert settings.prometheus.url == f"http://{here.address('prometheus', 9090)}"
    assert settings.web.listen_address == here.address("remediator", 9097)
    assert rule_paths(settings)[0].parent == HOUSE / "rules"
    assert settings.targets.kumomta is not None
    assert settings.targets.kumomta.shaping_files["mta1"].is_file()
    assert load_exporter_settings(here.config("kumo-exporter", "/etc/remediator/exporter.yml")).warnings == ()
    prometheus = here.config("prometheus", "/etc/prometheus/prometheus.yml").read_text()
    assert f'targets: ["{here.address("kumo-exporter", 9925)}"]' in prometheus
    alertmanager = here.config("alertmanager", "/etc/alertmanager/alertmanager.yml").read_text()
    assert f"http://{here.address('remediator', 9097)}/api/v1/alerts" in alertmanager
    for text in (prometheus, alertmanager):
        assert "/run/secrets" not in text
        assert not re.search(r"(?:remediator|kumod|alertmanager|exporter):[0-9]", text)
    with pytest.raises(KeyError, match="has no file at /etc/passwd"):
        here.config("redis", "/etc/passwd")


def test_the_yaml_of_the_site_is_plain() -> None:
    assert set(SITE.raw) == {"name", "x-hardened", "x-remediator", "services", "networks", "volumes", "secrets"}
    assert yaml.safe_load((COMPOSE / "exporter.yml").read_text())
