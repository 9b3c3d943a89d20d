"""What the tests of this folder share."""

from PIL import Image

MEMCAT = """\
,image_file,category,subcategory,memorability_w_fa_correction,memorability_wo_fa_correction
1,a1.jpg,animal,bear,0.51,0.60
2,a2.jpg,animal,bear,0.72,0.80
3,f1.jpg,food,bread,0.33,0.41
"""


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (hash(path.name) % 255, 3, 4)).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def lamem(folder):
    text(folder / "lamem" / "splits" / "train_1.txt", "00000001.jpg 0.774194\n00000002.jpg 0.5\n")
    text(folder / "lamem" / "splits" / "test_1.txt", "00000003.jpg 0.9\n")
    text(folder / "lamem" / "splits" / "train_2.txt", "00000003.jpg 0.9\n00000001.jpg 0.774194\n\n")
    for i in (1, 2, 3):
        picture(folder / "lamem" / "images" / f"0000000{i}.jpg")
