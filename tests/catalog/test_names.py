"""Names people write, and the chip each means."""

from __future__ import annotations

import pytest

from ridgeline.catalog import load_chip
from ridgeline.catalog.names import key_of, tokens_of
from ridgeline.errors import BadInput, UnknownName

# Devices as measured data sets print them.
MEASURED = {
    "A100 PCIe 80GB": "A100-PCIe-80GB",
    "A100-PCIE-PAIRNVLINK": "A100-PCIe-80GB",
    "NVIDIA A100 PCIe 80GB": "A100-PCIe-80GB",
    "NVIDIA A100 40GB": "A100-SXM-40GB",
    "NVIDIA A100 SXM 40GB": "A100-SXM-40GB",
    "A100 SXM 80GB": "A100-SXM-80GB",
    "A100-SXM-80G": "A100-SXM-80GB",
    "NVIDIA A100": "A100-SXM-80GB",
    "NVIDIA A100 (memory size not stated in repo)": "A100-SXM-80GB",
    "NVIDIA A100 80GB": "A100-SXM-80GB",
    "NVIDIA A100 80GB (power limited 330 W)": "A100-SXM-80GB",
    "NVIDIA A100 SXM 80GB": "A100-SXM-80GB",
    "A10G": "A10G",
    "A40 48GB": "A40",
    "AmpereOne A192-32X (512GB)": "AmpereOne-A192-32X",
    "AmpereOne A192-32X - 512GB": "AmpereOne-A192-32X",
    "M1 Max Mac Studio (10 core - 64GB)": "Apple-M1-Max",
    "Apple M2 Ultra (76 GPU cores)": "Apple-M2-Ultra",
    "M2 Ultra 76-Core GPU 192GB": "Apple-M2-Ultra",
    "M3 Max 40‑Core GPU 64GB": "Apple-M3-Max",
    "Mac Studio (M3 Ultra 512GB)": "Apple-M3-Ultra",
    "Pi 500+ - 16GB (Intel Arc A310 ECO)": "Arc-A310",
    "Arc-Pro-B60": "Arc-Pro-B60",
    "[MAXSUN] MS-Intel Arc Pro B60 Dual 48G Turbo": "Arc-Pro-B60",
    "B200-SXM": "B200-SXM",
    "NVIDIA B200": "B200-SXM",
    "NVIDIA B200 180GB": "B200-SXM",
    "NVIDIA B200-SXM-180GB": "B200-SXM",
    "b200_sxm": "B200-SXM",
    "B300-SXM": "B300-SXM",
    "NVIDIA B300": "B300-SXM",
    "b300_sxm": "B300-SXM",
    "Minisforum MS-R1": "CIX-P1",
    "Dell Pro Max with GB10 (Nvidia Spark)": "DGX-Spark",
    "NVIDIA DGX Spark (GB10) 128GB": "DGX-Spark",
    "NVIDIA GB200": "GB200",
    "NVIDIA GB200 (NVL72) 192GB": "GB200",
    "gb200": "GB200",
    "GB300": "GB300",
    "NVIDIA GB300": "GB300",
    "NVIDIA GH200 120GB": "GH200-96GB",
    "NVIDIA GH200 96GB": "GH200-96GB",
    "Intel Gaudi2": "Gaudi-2",
    "NVIDIA H100 96GB HBM2e (2.4 TB/s, 500 W)": "H100-96GB-HBM2e",
    "NVIDIA H100-NVL-94GB": "H100-NVL",
    "H100 PCIe 80GB": "H100-PCIe",
    "H100-PCIE-PAIRNVLINK": "H100-PCIe",
    "NVIDIA H100-PCIe-80GB": "H100-PCIe",
    "H100-SXM": "H100-SXM",
    "NVIDIA H100": "H100-SXM",
    "NVIDIA H100 80GB": "H100-SXM",
    "NVIDIA H100 80GB HBM3": "H100-SXM",
    "NVIDIA H100 SXM 80GB": "H100-SXM",
    "NVIDIA H100-SXM-80GB": "H100-SXM",
    "NVIDIA H100-SXM5-80GB": "H100-SXM",
    "h100_sxm": "H100-SXM",
    "NVIDIA H200-NVL-141GB": "H200-NVL",
    "H200-SXM": "H200-SXM",
    "NVIDIA H200 SXM 141GB": "H200-SXM",
    "NVIDIA H200-SXM-141GB": "H200-SXM",
    "NVIDIA H200-SXM-141GB-CTS": "H200-SXM",
    "Virtualized NVIDIA H200-SXM-141GB": "H200-SXM",
    "h200_sxm": "H200-SXM",
    "H800-SXM": "H800-SXM",
    "NVIDIA H800": "H800-SXM",
    "HiFive Premier P550 (4-core RISC-V)": "HiFive-Premier-P550",
    "GMKtec G3 Plus (Intel N150) - 16GB": "Intel-N150",
    "Jetson AGX Orin 64GB": "Jetson-AGX-Orin-64GB",
    "NVIDIA Jetson AGX Orin 64GB": "Jetson-AGX-Orin-64GB",
    "NVIDIA Jetson AGX Thor 128G": "Jetson-AGX-Thor",
    "L40S 48GB": "L40S",
    "NVIDIA L40S": "L40S",
    "NVIDIA L40S 48GB": "L40S",
    "MI210": "MI210",
    "AMD MI250": "MI250",
    "AMD MI300X 192GB": "MI300X",
    "AMD Instinct MI325X 256GB HBM3e": "MI325X",
    "Intel Data Center GPU Max 1550": "Max-1550",
    "Intel 265K Custom PC (Nvidia RTX 2080 Ti)": "RTX-2080-Ti",
    "Pi CM5 - 16GB (Nvidia RTX 2080 Ti)": "RTX-2080-Ti",
    "Intel 265K Custom PC (Nvidia RTX 3060)": "RTX-3060-12GB",
    "NVIDIA RTX 3060 12GB": "RTX-3060-12GB",
    "Pi CM5 - 16GB (Nvidia RTX 3060)": "RTX-3060-12GB",
    "3070 8GB": "RTX-3070",
    "Intel 265K Custom PC (Nvidia RTX 3080 Ti)": "RTX-3080-Ti",
    "Pi CM5 - 16GB (Nvidia RTX 3080 Ti)": "RTX-3080-Ti",
    "NVIDIA RTX 3090 24GB": "RTX-3090",
    "RTX 3090 Ti": "RTX-3090-Ti",
    "Ryzen 9 5950X (Nvidia 4070)": "RTX-4070",
    "4070 Ti 12GB": "RTX-4070-Ti",
    "Pi CM5 - 16GB (Nvidia RTX 4070 Ti)": "RTX-4070-Ti",
    "Ryzen 9 7950X (Nvidia 4070 Ti Super)": "RTX-4070-Ti-SUPER",
    "Ryzen 9 7950X (Nvidia 4080)": "RTX-4080",
    "4090 24GB": "RTX-4090",
    "NVIDIA GeForce RTX 4090": "RTX-4090",
    "NVIDIA RTX 4090 24GB": "RTX-4090",
    "RTX 4090": "RTX-4090",
    "RTX 4090 24GB": "RTX-4090",
    "RTX 5000 Ada 32GB": "RTX-5000-Ada",
    "NVIDIA RTX 5080 16GB": "RTX-5080",
    "Intel 13900K (Nvidia 5090)": "RTX-5090",
    "RTX 6000 Ada 48GB": "RTX-6000-Ada",
    "Minisforum MS-R1 (Nvidia RTX A2000)": "RTX-A2000-12GB",
    "System76 Thelio Astra (Nvidia A400)": "RTX-A400",
    "Intel 265K Custom PC (Nvidia RTX A4000)": "RTX-A4000",
    "Pi CM5 - 16GB (Nvidia RTX A4000)": "RTX-A4000",
    "System76 Thelio Astra (Nvidia A4000)": "RTX-A4000",
    "RTX A6000 48GB": "RTX-A6000",
    "NVIDIA RTX PRO 6000 Blackwell 96GB": "RTX-PRO-6000",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX-PRO-6000",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition 96GB": "RTX-PRO-6000",
    "RTX-PRO-6000-BSE": "RTX-PRO-6000",
    "HiFive Premier P550 (AMD RX 580)": "RX-580",
    "Pi 5 - 8GB (AMD RX 6700 XT) 12GB": "RX-6700-XT",
    "Ryzen 9 9950X (AMD 7900 XT)": "RX-7900-XT",
    "7900 XTX": "RX-7900-XTX",
    "Pi 500+ - 16GB (AMD RX 9070 XT)": "RX-9070-XT",
    "Intel 265K Custom PC (AMD Radeon AI Pro R9700)": "Radeon-AI-PRO-R9700",
    "Pi CM5 - 16GB (AMD AI Pro R9700)": "Radeon-AI-PRO-R9700",
    "Pi CM5 - 16GB (AMD Radeon AI Pro R9700)": "Radeon-AI-PRO-R9700",
    "Pi 5 - 8GB (AMD Pro W7700)": "Radeon-PRO-W7700",
    "System76 Thelio Astra (AMD Pro W7700)": "Radeon-PRO-W7700",
    "Pi 400 - 4GB": "Raspberry-Pi-4",
    "Pi 5 - 16GB": "Raspberry-Pi-5",
    "Raspberry Pi CM5 Cluster (10x 16GB)": "Raspberry-Pi-5",
    "AMD Ryzen 9 7950X (DDR5)": "Ryzen-9-7950X",
    "Framework 13 (Ryzen AI 5 340)": "Ryzen-AI-5-340",
    "AMD Radeon 8060S (Strix Halo)": "Ryzen-AI-Max-395",
    "AMD Ryzen AI MAX+ 395 (Radeon 8060S, 128GB LPDDR5X)": "Ryzen-AI-Max-395",
    "Framework Desktop Mainboard (395+)": "Ryzen-AI-Max-395",
    "Framework Mainboard (128GB)": "Ryzen-AI-Max-395",
    "SambaNova SN40L": "SN40L",
    "Google TPU v4": "TPU-v4",
    "Google TPU v5e": "TPU-v5e",
    "Google TPU v5p": "TPU-v5p",
    "TPU-v5p": "TPU-v5p",
    "Google TPU v6e (Trillium)": "TPU-v6e",
    "Google TPU v7x (Ironwood)": "TPU-v7x",
    "CPU: INTEL(R) XEON(R) 6787P": "Xeon-6787P",
    "CPU: INTEL(R) XEON(R) 6980P": "Xeon-6980P",
    "Intel Xeon 4th gen (Sapphire Rapids) 48 cores": "Xeon-8468",
}
SPOKEN = {
    "NVIDIA H100 80GB HBM3": "H100-SXM",
    "a100 80gb": "A100-SXM-80GB",
    "A100-SXM4-80GB": "A100-SXM-80GB",
    "NVIDIA A100-SXM4-40GB": "A100-SXM-40GB",
    "A100 40GB PCIe": "A100-PCIe-40GB",
    "tpu v5 lite": "TPU-v5e",
    "TPUv5e": "TPU-v5e",
    "Ironwood": "TPU-v7x",
    "rtx4090": "RTX-4090",
    "NVIDIA GeForce RTX 4090": "RTX-4090",
    "GeForce RTX 4070 Ti SUPER": "RTX-4070-Ti-SUPER",
    "gtx1080ti": "GTX-1080-Ti",
    "Apple M2 Ultra": "Apple-M2-Ultra",
    "m4 pro": "Apple-M4-Pro",
    "M3 Max 30-Core GPU": "Apple-M3-Max-30c",
    "apple m1 8gb": "Apple-M1",
    "AMD Instinct MI300X OAM": "MI300X",
    "Radeon 7900XTX": "RX-7900-XTX",
    "Intel(R) Xeon(R) Platinum 8480+": "Xeon-8480",
    "AMD EPYC 9654 96-Core Processor": "EPYC-9654",
    "Tesla V100-SXM2-32GB": "V100-SXM2-32GB",
    "Tesla T4": "T4",
    "Gaudi3": "Gaudi-3",
    "trn2": "Trainium2",
    "GH200 480GB": "GH200-96GB",
    "Strix Halo": "Ryzen-AI-Max-395",
    "B200 192GB": "B200-SXM",
    "B200 180GB": "B200-SXM",
}


@pytest.mark.parametrize(("written", "chip"), [*MEASURED.items(), *SPOKEN.items()])
def test_a_written_name_means_one_chip(written: str, chip: str) -> None:
    assert load_chip(written).name == chip


@pytest.mark.parametrize(("written", "nearest"), [
    ("H100-SXM6", "H100-SXM"), ("RTX 4095", "RTX-4090"), ("MI301X", "MI300X"),
    ("Apple M9 Ultra", "M"), ("RTX 4090 48GB", "RTX 4090"), ("H100 Turbo-Max", "H100")])
def test_a_wrong_name_gives_the_nearest(written: str, nearest: str) -> None:
    with pytest.raises(UnknownName) as error:
        load_chip(written)
    text = str(error.value)
    assert text.startswith(f"unknown chip {written!r}; did you mean") and "\n" not in text
    assert nearest.lower() in text.lower()


@pytest.mark.parametrize(("written", "among"), [
    ("RTX 5060 Ti", {"RTX-5060-Ti-8GB", "RTX-5060-Ti-16GB"}),
    ("TPU v5", {"TPU-v5e", "TPU-v5p"}), ("MI300", {"MI300X", "MI300A"}),
    ("Gaudi", {"Gaudi-2", "Gaudi-3"}), ("RTX 6000", {"Quadro-RTX-6000", "RTX-6000-Ada"}),
    ("xeon", {"Xeon-8480", "Xeon-6980P"}),
    # Mixed machines name several chips; none is the answer.
    ("2x Xeon Gold 6454S (DDR5-4800) + RTX 4090 24GB, experts on CPU", {"Xeon-6454S", "RTX-4090"}),
    ("AMD Instinct MI325X 256GB HBM3E (x16), AMD Instinct MI300X 192GB HBM3 (x8)",
     {"MI325X", "MI300X"})])
def test_an_ambiguous_name_lists_what_it_may_mean(written: str, among: set[str]) -> None:
    with pytest.raises(BadInput, match="may be one of") as error:
        load_chip(written)
    assert not isinstance(error.value, UnknownName)
    text = str(error.value)
    assert all(name in text for name in among) and "\n" not in text


@pytest.mark.parametrize("written", ["", "   ", "x" * 500, "nvidia", "GPU", "(", "()", "8x", "🦙"])
def test_nonsense_is_one_line(written: str) -> None:
    with pytest.raises(BadInput) as error:
        load_chip(written)
    assert "\n" not in str(error.value)


def test_a_memory_size_that_contradicts_is_not_accepted() -> None:
    with pytest.raises(BadInput):
        load_chip("H200 80GB")


def test_spelling_does_not_matter() -> None:
    assert key_of("NVIDIA A100-SXM4-80GB") == key_of("a100_sxm4_80 GB") == "a100sxm480gb"
    assert tokens_of("M3 Max 40‑Core GPU") == ("m3", "max", "40", "core")
