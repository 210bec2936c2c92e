"""Makes the .mat files of this folder: the layout of Cars196's cars_annos.mat with four classes of three images, and three
files that each have one thing wrong.

Needs SciPy (made with 1.17): python3 make.py
"""

import numpy
import scipy.io

CLASSES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "Acura TL Type-S 2008"]
BOX = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]


def annotation(image: int) -> dict:
    box = dict(zip(BOX, map(numpy.uint16, [1, 1, 12, 10])))
    labels = {"class": numpy.uint8(image // 3 + 1), "test": numpy.uint8(image % 2)}
    return {"relative_im_path": f"car_ims/{image + 1:06}.jpg", **box, **labels}


def save(name: str, annotations: list, with_names: bool = True) -> None:
    fields = list(annotations[0])
    records = [tuple(record[field] for field in fields) for record in annotations]
    variables = {"annotations": numpy.array([records], dtype=[(field, object) for field in fields])}
    if with_names:
        variables["class_names"] = numpy.empty((1, len(CLASSES)), dtype=object)
        variables["class_names"][0, :] = CLASSES
    scipy.io.savemat(name, variables, do_compression=True)


good = [annotation(image) for image in range(12)]
save("cars_annos.mat", good)
save("unknown_class.mat", [record | ({"class": numpy.uint8(5)} if i == 1 else {}) for i, record in enumerate(good)])
save("no_class.mat", [{key: value for key, value in record.items() if key != "class"} for record in good])
save("no_names.mat", good, with_names=False)
