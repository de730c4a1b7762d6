#!/usr/bin/env python3
"""scripts/audit-vz-contract against an SDK made of the contract itself: nothing differs; and each difference
that is planted in it is told."""
import pathlib
import shutil
import sys
import tempfile

from auditing import audit, check_planted

HERE = pathlib.Path(__file__).resolve().parent

PLANTED = [
    ("VZMachine.h", "- (BOOL)requestStopWithError:(NSError *_Nullable *_Nullable)error;\n", "",
     "-[VZVirtualMachine requestStopWithError:]: no such method"),
    ("VZMachine.h", "@property uint64_t memorySize;", "@property uint32_t memorySize;",
     "-[VZVirtualMachineConfiguration memorySize]: the types are ['uint32_t'], not ['uint64_t']"),
    ("VZStorage.h", "VZDiskImageSynchronizationModeNone = 3", "VZDiskImageSynchronizationModeNone = 4",
     "VZDiskImageSynchronizationModeNone: is 4, not 3"),
    ("VZStorage.h", "API_AVAILABLE(macos(14.0))\n@interface VZNVMExpressControllerDeviceConfiguration",
     "API_AVAILABLE(macos(15.0))\n@interface VZNVMExpressControllerDeviceConfiguration",
     "VZNVMExpressControllerDeviceConfiguration: since macOS 15, not 14"),
    ("VZBoot.h", "@property(copy) VZGenericMachineIdentifier *machineIdentifier API_AVAILABLE(macos(13.0));",
     "@property(copy) VZGenericMachineIdentifier *machineIdentifier API_AVAILABLE(macos(13.2));",
     "setMachineIdentifier:]: since macOS 13.2, not 13"),
    ("VZDevices.h", "@interface VZSingleDirectoryShare : VZDirectoryShare", "@interface VZSingleDirectoryShare : "
     "NSObject", "VZSingleDirectoryShare: its superclass is NSObject, not VZDirectoryShare"),
    ("VZDevices.h", "(void (^)(VZVirtioSocketConnection *_Nullable connection,", "(void (^)(NSObject *_Nullable c,",
     "connectToPort:completionHandler:]: the types are"),
    ("VZMac.h", "@interface VZMacTrackpadConfiguration", "@interface VZTrackpadConfiguration",
     "VZMacTrackpadConfiguration: no such class"),
    ("vmnet.h", "VMNET_SHARED_MODE = 1001", "VMNET_SHARED_MODE = 1003", "VMNET_SHARED_MODE: is 1003, not 1001"),
    ("vmnet.h", "struct in_addr const *_Nonnull subnet_mask", "uint32_t subnet_mask",
     "vmnet_network_configuration_set_ipv4_subnet: is"),
]


def make_sdk(folder):
    frameworks, include = folder / "System/Library/Frameworks", folder / "usr/include"
    shutil.copytree(HERE / "nosdk", include)
    shutil.copytree(HERE / "contract/vmnet", include / "vmnet")
    for name, source in (("Foundation", include / "Foundation"), ("Virtualization", HERE / "contract/Virtualization")):
        shutil.copytree(source, frameworks / f"{name}.framework/Headers")
    shutil.rmtree(include / "Foundation")


def check_older(folder):
    """An SDK of before the newest macOS lacks what came with that, which is no difference; what it ought to
    have is one still."""
    settings, header = folder / "SDKSettings.json", next(folder.rglob("VZMac.h"))
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("VZMacGuestProvisioningOptions", "VZNobodyKnows"), encoding="utf-8")
    missing = "VZMacGuestProvisioningOptions: no such class"
    for version, wanted in (("26.4", 0), ("27.0", 1)):
        settings.write_text(f'{{"Version": "{version}"}}', encoding="utf-8")
        code, said = audit("--sdk", folder)
        if code != wanted or (missing in said) != wanted or ("are newer than this SDK, of macOS" in said) == wanted:
            sys.exit(f"SDK {version}: {said[:3000]}")
    settings.unlink()
    header.write_text(text, encoding="utf-8")
    print("what is newer than an SDK is passed over")


def main():
    with tempfile.TemporaryDirectory(prefix="vtz-sdk-") as folder:
        folder = pathlib.Path(folder)
        make_sdk(folder)
        code, said = audit("--sdk", folder)
        if code or ", 0 differ" not in said or int(said.split()[0]) < 700:
            sys.exit(f"the contract differs from itself, or little of it was seen:\n{said}")
        print(said.strip())
        check_older(folder)
        check_planted(PLANTED, "--sdk", folder)


if __name__ == "__main__":
    main()
