#!/usr/bin/env python3
"""Bugs are planted in copies of the helper's sources, and the check that is named has to find each.

planted.py BUILD.json [NAME...]   BUILD.json: how CMake builds the helper over the fake framework

A build with sanitizers is given the bugs that take them, one without all the others."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHIM = ROOT / "shim/vz"

# name, file, what is there, what is put in its place, the check, what the check has to say
BUGS = [
    ("off_queue", "machine.m", """    dispatch_async(vtz_queue(), ^{
      carry_out(c);
    });
}""", "    carry_out(c);\n}", "protocol test_life", "called off the queue"),
    ("off_queue_later", "install.m", "      dispatch_async(vtz_queue(), ^{\n        struct vtz_outcome outcome",
     "      dispatch_block_t now = (^{\n        struct vtz_outcome outcome", "protocol test_restore_image",
     "called off the queue"),
    ("over_release", "attach.m", "return [[[VZUSBMassStorageDevice alloc] initWithConfiguration:device] autorelease]",
     "return [[[[VZUSBMassStorageDevice alloc] initWithConfiguration:device] autorelease] autorelease]",
     "protocol test_usb_disks", "FAILED"),
    ("missing_retain", "machine.m", "configuration = [made retain];", "configuration = made;",
     "protocol test_save_and_restore", "FAILED"),
    ("delegate_let_go", "machine.m", "watcher = [[VTZWatcher alloc] init];",
     "watcher = [[[VTZWatcher alloc] init] autorelease];", "protocol test_life", "FAILED"),
    ("network_released_twice", "network.m", "        CFRelease(network);\n",
     "        CFRelease(network);\n        CFRelease(network);\n", "protocol test_every_device", "FAILED"),
    ("leak", "configuration.m", "@[ [[[VZXHCIControllerConfiguration alloc] init] autorelease] ]",
     "@[ [[VZXHCIControllerConfiguration alloc] init] ]", "analyze", "leak"),
    ("swapped_operation", "machine.m", "[VTZ_OP_PAUSE] = pause_machine,\n    [VTZ_OP_RESUME] = resume,",
     "[VTZ_OP_PAUSE] = resume,\n    [VTZ_OP_RESUME] = pause_machine,",
     "protocol test_life", "FAILED"),
    ("not_validated", "configuration.m", "if ([configuration validateWithError:&error])", "if (YES)",
     "protocol test_life", "was not validated"),
    ("save_not_validated", "machine.m", "if (!can_save(&outcome.failure)) {", "if (NO) {",
     "protocol test_save_and_restore", "whether this configuration can be saved"),
    ("state_not_looked_at", "machine.m", "    if (!machine.canStart)\n", "    if (NO)\n", "protocol test_life",
     "Invalid transition"),
    ("saved_while_running", "machine.m", "if (state_now() != (call->op == VTZ_OP_SAVE ? VTZ_PAUSED : VTZ_STOPPED))",
     "if (NO)", "protocol test_save_and_restore", "Invalid state."),
    ("restored_while_paused", "machine.m", "if (state_now() != (call->op == VTZ_OP_SAVE ? VTZ_PAUSED : VTZ_STOPPED))",
     "if (call->op == VTZ_OP_SAVE && state_now() != VTZ_PAUSED)", "protocol test_save_and_restore", "Invalid transition."),
    ("state_not_told", "machine.m", "    vtz_tell_state_on_queue(); /* it may be on its way */\n", "",
     "protocol test_life", "FAILED"),
    ("storage_overwritten", "configuration.m", "    if (exists(boot->auxiliary)) {", "    if (NO) {",
     "protocol test_macos_guest", "would be overwritten"),
    ("variables_overwritten", "configuration.m", "        if (exists(boot->variables)) {", "        if (NO) {",
     "protocol test_efi_guest", "FAILED"),
    ("variables_not_made", "configuration.m", "        if (exists(boot->variables)) {", "        if (YES) {",
     "protocol test_efi_guest", "no such variable store"),
    ("nvme_in_a_mac", "config.c", "c->disks[i].bus == VTZ_BUS_NVME", "c->disks[i].bus > VTZ_BUS_USB",
     "protocol test_configurations_the_framework_refuses", "needs a generic platform"),
    ("made_file_left", "configuration.m", "        unlink(fresh);\n", "        fresh = NULL;\n",
     "protocol test_macos_guest", "left behind"),
    ("version_too_low", "devices.m", "    case VTZ_BUS_NVME:\n        if (VTZ_HAS(14.0))",
     "    case VTZ_BUS_NVME:\n        if (VTZ_HAS(13.0))", "darwin", "only available on macOS 14"),
    ("version_too_high", "devices.m", "    case VTZ_BUS_NVME:\n        if (VTZ_HAS(14.0))",
     "    case VTZ_BUS_NVME:\n        if (VTZ_HAS(15.0))", "versions", "nvme is refused below macOS 15"),
    ("no_version", "attach.m", "    if (VTZ_HAS(15.0)) {\n        VZUSBController *controller = [[vtz_machine_on_queue() "
     "usbControllers] firstObject];\n        id<", "    if (YES) {\n        VZUSBController *controller = "
     "[[vtz_machine_on_queue() usbControllers] firstObject];\n        id<", "darwin", "only available on macOS 15"),
    ("maybe_nil", "devices.m", "        if (url)\n            attachment = [[[VZNetworkBlockDeviceStorageDeviceAttachment alloc]\n"
     "                        initWithURL:(NSURL *_Nonnull)url", "            attachment = "
     "[[[VZNetworkBlockDeviceStorageDeviceAttachment alloc]\n                        initWithURL:url", "analyze",
     "Nullable pointer"),
    ("misspelt", "machine.m", "[machine resumeWithCompletionHandler:", "[machine resumeWithCompletionhandler:",
     "darwin", "resumeWithCompletionhandler"),
    ("descriptor_of_another", "attach.m", "fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 3)",
     "connection.fileDescriptor", "protocol test_vsock", "FAILED"),
    ("subnet_for_host", "network.m", "htonl(nic->subnet + 1)", "htonl(nic->subnet)", "protocol test_every_device",
     "vmnet made no network"),
    ("read_only_forgotten", "devices.m", "                   readOnly:disk->read_only\n",
     "                   readOnly:disk->read_only\n                readOnly:NO\n", "darwin", "error"),
    ("progress_too_often", "install.m", "(250 * (int64_t)NSEC_PER_MSEC)", "(20 * (int64_t)NSEC_PER_MSEC)",
     "protocol test_install", "at most 4 a second"),
    ("cancel_does_nothing", "install.m", "    if (installer)\n        [installer.progress cancel];\n",
     "    if (installer)\n        (void)0;\n", "protocol test_install", "FAILED"),
    ("stopped_while_installing", "machine.m", "    if (vtz_end_install_on_queue(call))\n        return;\n", "",
     "protocol test_install", "while macOS is installed"),
    ("asked_to_stop_while_installing", "machine.m", "!machine.canRequestStop || vtz_is_installing_on_queue()",
     "!machine.canRequestStop", "protocol test_install", "while macOS is installed"),
    ("installed_into_linux", "install.m", "boot.kind != VTZ_BOOT_MACOS", "boot.kind > VTZ_BOOT_MACOS",
     "protocol test_install", "The platform is not of macOS"),
    ("uuid_of_its_own", "devices.m", "    add_uuid(device, index);\n", "    (void)add_uuid;\n    (void)index;\n",
     "protocol test_usb_disks_are_restored", "another machine"),
    ("one_uuid_for_all", "devices.m", "-%012zX\", index);", "-%012zX\", index * 0);",
     "protocol test_usb_disks_are_restored", "FAILED"),
    ("no_pointer_on_macos_12", "devices.m", "    else\n        configuration.pointingDevices =\n            @[ "
     "[[[VZUSBScreen", "    else if (NO)\n        configuration.pointingDevices =\n            @[ [[[VZUSBScreen",
     "protocol test_macos_guests_on_the_oldest_host", "a pointing device"),
    ("waits_for_ever", "attach.m", "        give_up_later(call, token);\n", "        (void)give_up_later;\n",
     "protocol test_a_guest_that_does_not_answer", "FAILED"),
    ("answered_twice", "attach.m", "    if (!replace(token, 0)) { /* too late */", "    if (!replace(token, 0) && !token) {",
     "protocol test_a_guest_that_does_not_answer", "FAILED"),
    ("agent_without_its_name", "devices.m", "        port.name = [VZSpiceAgentPortAttachment spiceAgentPortName];\n",
     "", "protocol test_every_device", "named otherwise"),
    ("console_of_another_file", "devices.m", "initWithFileDescriptor:fd close", "initWithFileDescriptor:fd + 1000 close",
     "protocol test_every_device", "of no open file"),
    ("saved_state_overwritten", "files.c", "        if (lstat(call->path, &st) == 0)", "        if (lstat(call->path, &st) == 0 && false)",
     "protocol test_save_and_restore", "FAILED"),
    ("tie_ignored", "serve.c", "    watch->fd = -1;\n    quit_unasked();\n", "    watch->fd = -1;\n",
     "protocol test_it_ends_with_its_tie", "FAILED"),
]


# likewise, of memory: what the sanitizers of a build alone tell for sure
SANITIZED_BUGS = [
    ("client_not_forgotten", "serve.c", "    vtz_calls_forget_client(client);\n", "    (void)client;\n",
     "protocol test_a_client_that_left", "heap-use-after-free"),
    ("pending_freed_before_its_end", "calls.c", "        p->done(p, &report->outcome);\n        vtz_pending_free(p);\n",
     "        vtz_pending_free(p);\n        p->done(p, &report->outcome);\n", "protocol test_life",
     "heap-use-after-free"),
    ("config_freed_twice", "serve.c", "        vtz_config_free(core.config);\n        core.config = NULL;\n",
     "        vtz_config_free(core.config);\n", "protocol test_configurations_the_framework_refuses",
     "heap-use-after-free"),
    ("failure_freed_twice", "failure.c", "        vt_free(below);\n", "        vt_free(below);\n        vt_free(below);\n",
     "protocol test_every_failure", "attempting double-free"),
    ("relay_used_after_its_end", "relay.c", "    if (settle(s->relay))\n        end_relay(s->relay);\n}",
     "    if (settle(s->relay))\n        end_relay(s->relay);\n    write_out(s);\n}", "protocol test_vsock",
     "heap-use-after-free"),
    ("relay_reads_too_much", "relay.c", "    vt_buf_reserve(&other->out, VTZ_RELAY_BUFFER);\n",
     "    vt_buf_reserve(&other->out, 1024);\n", "protocol test_vsock", "heap-buffer-overflow"),
    ("addresses_of_one_network", "network.m", "vt_calloc(VTZ_NICS_MAX, ", "vt_calloc(1, ",
     "protocol test_every_device", "heap-buffer-overflow"),
    ("text_of_another", "text.m", "char *vtz_copy(NSString *text)\n{\n    return vt_strdup([text UTF8String]);",
     "char *vtz_copy(NSString *text)\n{\n    return (char *)[text UTF8String];", "protocol test_host",
     "AddressSanitizer"),
]


class Unplanted(Exception):
    """A bug that could not be planted, or was not found."""


def run(words, seconds=120, **env):
    """Its exit code and all that it said; a negative code where it took too long."""
    process = subprocess.Popen([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", env=os.environ | env, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        said, _ = process.communicate()
        return -1, said + "\nFAILED: it took too long"
    return process.returncode, said


def build(folder, name, how):
    """The helper with folder/name in the place of the source of that name."""
    source, made = folder / name, folder / "vmtest-vz-fake"
    flags = how["shim_flags"] if name.endswith(".m") else how["c_flags"]
    code, said = run([how["clang"], *how["flags"], *flags, "-c", source, "-o", folder / "planted.o"])
    if code:
        raise Unplanted(f"the bug does not compile:\n{said[:2000]}")
    objects = [folder / "planted.o" if o.endswith(f".vz.{name}.o") else o for o in how["objects"]]
    if folder / "planted.o" not in objects:
        raise Unplanted(f"no object of {name}")
    code, said = run([how["clang"], *how["link"], *objects, "-o", made, *how["libraries"]])
    if code:
        raise Unplanted(said[:2000])
    return made


def check(folder, name, what, how):
    kind, *tests = what.split()
    if kind == "protocol":
        return run([sys.executable, HERE / "protocol.py", *tests], seconds=60,
                   VMTEST_VZ_FAKE=str(build(folder, name, how)), VMTEST_VZ_SECONDS="5")
    if kind == "versions":
        return run([sys.executable, HERE / "versions.py", folder / name])
    mode = "check" if kind == "darwin" else "analyze"
    return run([HERE / "darwin", mode, SHIM, how["doors"], ROOT, folder / name])


def plant(bug, how):
    name, file, old, new, what, words = bug
    text = (SHIM / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise Unplanted(f"{file} has this {text.count(old)} times, so that the patch does not apply:\n{old}")
    with tempfile.TemporaryDirectory(prefix="vtz-planted-") as folder:
        folder = pathlib.Path(folder)
        text = text.replace(old, new)
        if name == "off_queue_later":  # the block is run where it stands
            at = text.index("dispatch_block_t now")
            text = text[:at] + text[at:].replace("      });\n", "      });\n      now();\n", 1)
        (folder / file).write_text(text, encoding="utf-8")
        code, said = check(folder, file, what, how)
        if code == 0:
            raise Unplanted(f"`{what}` did not find it")
        if words not in said:
            raise Unplanted(f'`{what}` failed, but said nothing of "{words}":\n{said[-2000:]}')


def main():
    how = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    bugs = SANITIZED_BUGS if any(flag.startswith("-fsanitize") for flag in how["flags"]) else BUGS
    wanted = sys.argv[2:] or [bug[0] for bug in bugs]
    failed = 0
    for bug in bugs:
        if bug[0] not in wanted:
            continue
        start = time.monotonic()
        try:
            plant(bug, how)
            print(f"{bug[0]}: found by {bug[4]} ({time.monotonic() - start:.1f} s)", flush=True)
        except Unplanted as why:
            failed += 1
            print(f"{bug[0]}: {why}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
