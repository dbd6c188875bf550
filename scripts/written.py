# SPDX-License-Identifier: BSD-3-Clause
"""Documents that a script writes from a run of the tests, and otherwise compares with it."""
import os

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))


def settle(document, script, text, update, missing, wrong, same=str.__eq__):
    """Write the document, or compare it. Returns what is to be said of it; errors are added to wrong.

    missing: what keeps the run from being a whole one; then it is neither written nor compared. wrong: what was
    found so far; with errors it is not written. same(old, new): whether it says the same as before."""
    path = os.path.join(TOP, document)
    said = f"; not a whole run ({missing[0]}{' and more' if len(missing) > 1 else ''})" if missing else ""
    if update and not missing and not wrong:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    elif update:
        wrong.append("\n  ".join([f"{document} is left as it is", *missing]))
    elif not missing and not (os.path.exists(path) and same(open(path, encoding="utf-8").read(), text)):
        if os.environ.get("VDEVKIT_ALL"):
            wrong.append(f"{document} is out of date")
        said = f"; {document} is of another run: {script} --update"
    return said
