"""Follow TensorRT's objects through our source, and check every use of them against a real module.

A small type inference: parameters annotated ``trt.X`` start it, results of calls and properties carry it
on as the bindings' own docstrings say. Conditions that probe the library (``hasattr``, or a property of
``Library`` that is one) are evaluated against the module, so that code which the version at hand would
never reach is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.signatures import is_plain, result_of_property, signatures

Kind = str
MODULE, CLASS, INSTANCE, METHOD, OURS, OPAQUE = "module", "class", "instance", "method", "ours", "opaque"


@dataclass(frozen=True)
class Value:
    """What an expression is: the module, a class of it, an instance, a bound method, or one of ours."""

    kind: Kind
    target: Any = None
    name: str = ""


@dataclass
class Report:
    """What was found.

    Attributes:
        uses: Every name of TensorRT that live code uses, as ``IBuilderConfig.set_flag``.
        sites: Where, as ``options.py:100:set_flag``.
        problems: Uses that this version does not have, with file and line.
    """

    uses: set[str] = field(default_factory=set)
    sites: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


@dataclass
class OurClass:
    """A class of ours: what its attributes, properties and methods are."""

    node: ast.ClassDef
    attributes: dict[str, ast.expr] = field(default_factory=dict)
    methods: dict[str, ast.FunctionDef] = field(default_factory=dict)


def check_source(files: Iterable[Path], module: Any) -> Report:
    """Check all uses of TensorRT in some files against a module."""
    trees = {path: ast.parse(path.read_text()) for path in files}
    return _Checker(trees, module).run()


def check_text(text: str, module: Any) -> Report:
    """Check one piece of source."""
    return _Checker({Path("snippet.py"): ast.parse(text)}, module).run()


class _Checker:
    def __init__(self, trees: dict[Path, ast.Module], module: Any) -> None:
        self.module = module
        self.report = Report()
        self.trees = trees
        self.functions: dict[tuple[Path | None, str], tuple[Path, ast.FunctionDef]] = {}
        self.classes: dict[str, OurClass] = {}
        self.pending: list[tuple[Path, ast.FunctionDef, OurClass | None]] = []
        self.seen: set[int] = set()
        for path, tree in trees.items():
            self._collect(path, tree)

    def run(self) -> Report:
        for path, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    self._queue(path, node, None)
                if isinstance(node, ast.ClassDef):
                    ours = self.classes[node.name]
                    for method in ours.methods.values():
                        self._queue(path, method, ours)
        while self.pending:
            path, function, ours = self.pending.pop()
            _Body(self, path, ours).function(function, {})
        return self.report

    def _collect(self, path: Path, tree: ast.Module) -> None:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[path, node.name] = (path, node)
                if not node.name.startswith("_"):
                    self.functions[None, node.name] = (path, node)  # for other files
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = ours = OurClass(node)
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        ours.methods[item.name] = item
                        _collect_attributes(item, ours)

    def _queue(self, path: Path, function: ast.FunctionDef, ours: OurClass | None) -> None:
        if id(function) not in self.seen:
            self.seen.add(id(function))
            self.pending.append((path, function, ours))

    def call_ours(self, name: str, caller: Path) -> Value | None:
        """Follow a call of one of our functions, or the making of one of our objects."""
        found = self.functions.get((caller, name)) or self.functions.get((None, name))
        if found is not None:
            path, function = found
            self._queue(path, function, None)
            return self.annotated(function.returns)
        return Value(OURS, name=name) if name in self.classes else None

    def annotated(self, annotation: ast.expr | None) -> Value | None:
        """Return what a value with this annotation is: ``trt.X``, ``trt.X | None`` or one of our classes."""
        if isinstance(annotation, ast.BinOp):
            return self.annotated(annotation.left) or self.annotated(annotation.right)
        if isinstance(annotation, ast.Attribute):
            dotted = ast.unparse(annotation)
            if dotted.startswith("trt."):
                return self.instance_of(dotted.removeprefix("trt."))
        if isinstance(annotation, ast.Name) and annotation.id in self.classes:
            return Value(OURS, name=annotation.id)
        return None

    def instance_of(self, dotted: str) -> Value:
        target = self.module
        for part in dotted.split("."):
            target = getattr(target, part, None)
        return Value(INSTANCE, target, dotted) if target is not None else Value(OPAQUE, name=dotted)

    def result(self, type_name: str | None) -> Value | None:
        """Return what a binding's result of this type is."""
        if type_name is None or is_plain(type_name):
            return None
        target = getattr(self.module, type_name, None)
        return Value(INSTANCE, target, type_name) if target is not None else Value(OPAQUE, name=type_name)


def _collect_attributes(method: ast.FunctionDef, ours: OurClass) -> None:
    """Note ``self.x: T = ..`` and ``self.x = parameter``."""
    parameters = {a.arg: a.annotation for a in (*method.args.args, *method.args.kwonlyargs)}
    for node in ast.walk(method):
        target, annotation = None, None
        if isinstance(node, ast.AnnAssign):
            target, annotation = node.target, node.annotation
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            target, annotation = node.targets[0], parameters.get(node.value.id)
        if (
            isinstance(target, ast.Attribute)
            and ast.unparse(target.value) == "self"
            and annotation is not None
        ):
            ours.attributes[target.attr] = annotation


class _Body:
    """One function body, with what its variables are."""

    def __init__(self, checker: _Checker, path: Path, ours: OurClass | None) -> None:
        self.checker = checker
        self.path = path
        self.ours = ours
        self.names: dict[str, Value | None] = {}

    def function(self, node: ast.FunctionDef, outer: dict[str, Value | None]) -> None:
        self.names = dict(outer)
        self.annotation(node.returns)
        for argument in (*node.args.args, *node.args.kwonlyargs):
            self.annotation(argument.annotation)
            value = self.checker.annotated(argument.annotation)
            if argument.arg == "api":
                value = Value(MODULE)
            elif argument.arg == "self" and self.ours is not None:
                value = Value(OURS, name=self.ours.node.name)
            self.names[argument.arg] = value
        self.block(node.body)

    def annotation(self, node: ast.expr | None) -> None:
        """Check the classes that an annotation names: a wrong one would leave what it describes unchecked."""
        for part in ast.walk(node) if node is not None else ():
            if isinstance(part, ast.Attribute) and ast.unparse(part).startswith("trt."):
                owner = ast.unparse(part.value).partition(".")[2]
                base = self.checker.instance_of(owner) if owner else Value(MODULE)
                if base.kind != OPAQUE:  # or the owner itself is reported
                    self.use(part, base, part.attr)

    def block(self, statements: list[ast.stmt]) -> bool:
        """Visit statements until one certainly leaves the block; return whether one did."""
        return any(self.statement(statement) for statement in statements)

    def statement(self, node: ast.stmt) -> bool:
        if isinstance(node, (ast.Return, ast.Raise)):
            self.children(node)
            return True
        if isinstance(node, ast.If):
            truth = self.truth(node.test)
            self.value(node.test)
            left = truth is not False and self.block(node.body)
            right = truth is not True and self.block(node.orelse)
            return (left or truth is False) and (right or truth is True) if truth is None else left or right
        if isinstance(node, ast.FunctionDef):
            _Body(self.checker, self.path, None).function(node, self.names)
        elif isinstance(node, ast.ClassDef):
            self.subclass(node)
        elif isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self.assign(target, value)
        elif isinstance(node, ast.AnnAssign):
            value = self.value(node.value) if node.value else None
            self.annotation(node.annotation)
            self.assign(node.target, self.checker.annotated(node.annotation) or value)
        else:
            self.children(node)
        return False

    def children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child)
            elif isinstance(child, ast.expr):
                self.value(child)
            else:
                self.children(child)

    def assign(self, target: ast.expr, value: Value | None) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Attribute):
            self.attribute(target, store=True)
        else:
            self.children(target)

    def subclass(self, node: ast.ClassDef) -> None:
        """Check a class that TensorRT is to call: its base, and that it overrides what there is."""
        bases = [self.value(base) for base in node.bases]
        base = next((b for b in bases if b is not None and b.kind == CLASS), None)
        self.names[node.name] = base
        for method in node.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            if base is not None and method.name != "__init__":
                self.use(method, base, method.name)
                found = signatures(getattr(base.target, method.name, None))
                count = len(method.args.args) - 1
                if found and all(len(s.parameters) != count for s in found):
                    self.problem(method, f"{base.name}.{method.name} is called with other arguments")
            _Body(self.checker, self.path, None).function(method, self.names)

    def value(self, node: ast.expr | None) -> Value | None:
        """Visit an expression and return what it is."""
        if node is None:
            return None
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.Attribute):
            return self.attribute(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.IfExp):
            truth = self.truth(node.test)
            self.value(node.test)
            found = [self.value(node.body)] if truth is not False else []
            found += [self.value(node.orelse)] if truth is not True else []
            return next((f for f in found if f is not None), None)
        if isinstance(node, ast.BoolOp):
            return next((f for f in map(self.value, node.values) if f is not None), None)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            for generator in node.generators:
                self.value(generator.iter)
            self.children(node)
            return None
        self.children(node)
        return None

    def name(self, node: ast.Name) -> Value | None:
        if node.id == "trt" and node.id not in self.names:
            self.problem(node, "'trt' is there for annotations only")
        if node.id in self.names:
            return self.names[node.id]
        self.checker.call_ours(node.id, self.path)  # it may be passed on, to be called by someone else
        return None

    def attribute(self, node: ast.Attribute, *, store: bool = False) -> Value | None:
        base = self.value(node.value)
        if base is None or base.kind == METHOD:
            return None
        if base.kind == OURS:
            return self.our_attribute(base, node.attr)
        if base.kind == OPAQUE:
            self.problem(node, f"cannot tell what {base.name} is; annotate it")
            return None
        owner = self.checker.module if base.kind == MODULE else base.target
        if not self.use(node, base, node.attr):
            return None
        found = getattr(owner, node.attr)
        label = node.attr if base.kind == MODULE else f"{base.name}.{node.attr}"
        if isinstance(found, type):
            return Value(CLASS, found, label)
        if isinstance(found, property):
            if store and found.fset is None:
                self.problem(node, f"{label} is read-only")
            return self.checker.result(result_of_property(found))
        if callable(found):
            return Value(METHOD, found, label)
        return Value(INSTANCE, type(found), label) if base.kind == CLASS else None

    def our_attribute(self, base: Value, name: str) -> Value | None:
        if base.name == "Library" and name == "trt":
            return Value(MODULE)
        ours = self.checker.classes[base.name]
        if name in ours.attributes:
            return self.checker.annotated(ours.attributes[name])
        if name in ours.methods:
            method = ours.methods[name]
            is_property = any(ast.unparse(d) == "property" for d in method.decorator_list)
            returned = self.checker.annotated(method.returns)
            return returned if is_property else Value(METHOD, returned, f"our {base.name}.{name}")
        return None

    def call(self, node: ast.Call) -> Value | None:
        called = self.value(node.func)
        for argument in (*node.args, *(k.value for k in node.keywords)):
            self.value(argument)
        if isinstance(node.func, ast.Lambda):
            return None
        if called is None:
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            follows = isinstance(node.func, ast.Name) or ast.unparse(node.func).count(".") == 1
            return self.checker.call_ours(name, self.path) if follows else None
        if called.name.startswith("our "):
            return called.target if isinstance(called.target, Value) else None
        if called.kind == CLASS:
            self.arguments(node, called.target.__init__, called.name, unbound="__init__")
            return Value(INSTANCE, called.target, called.name)
        if called.kind == METHOD:
            found = signatures(called.target)
            self.arguments(node, called.target, called.name)
            return self.checker.result(found[0].result) if found else None
        return None

    def arguments(self, node: ast.Call, function: Any, label: str, unbound: str = "") -> None:
        """Check the number and names of a call's arguments."""
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            return
        count = len(node.args)
        if label.endswith(".__init__") and not unbound:
            count -= 1  # called on the class, with self
        keywords = [k.arg for k in node.keywords if k.arg]
        found = [s.problem(count, keywords) for s in signatures(function)]
        if found and all(found):
            self.problem(node, f"{label} {found[0]}")

    def truth(self, node: ast.expr) -> bool | None:
        """Evaluate a condition as the version at hand would, or None if it depends on something else."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(v) for v in node.values]
            decisive = isinstance(node.op, ast.Or)
            if decisive in parts:
                return decisive
            return None if None in parts else not decisive
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            return self.probe(node)
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            if base is not None and base.kind == OURS and base.name in self.checker.classes:
                return self.our_probe(self.checker.classes[base.name], node.attr)
        return None

    def probe(self, node: ast.Call) -> bool | None:
        base = self.quietly(node.args[0])
        if base is None or not isinstance(node.args[1], ast.Constant):
            return None
        owner = self.checker.module if base.kind == MODULE else base.target
        return hasattr(owner, str(node.args[1].value))

    def our_probe(self, ours: OurClass, name: str) -> bool | None:
        """Evaluate a property of ours that returns nothing but a probe."""
        method = ours.methods.get(name)
        last = method.body[-1] if method else None
        if not isinstance(last, ast.Return) or last.value is None:
            return None
        body = _Body(self.checker, self.path, ours)
        body.names = {"self": Value(OURS, name=ours.node.name)}
        return body.truth(last.value)

    def quietly(self, node: ast.expr) -> Value | None:
        """Return what an expression is without judging it: a probe may ask for what is not there."""
        before = len(self.checker.report.problems)
        value = self.value(node)
        del self.checker.report.problems[before:]
        return value

    def use(self, node: ast.AST, base: Value, name: str) -> bool:
        """Note that a name is used; return whether it is there."""
        owner = self.checker.module if base.kind == MODULE else base.target
        label = name if base.kind == MODULE else f"{base.name}.{name}"
        self.checker.report.uses.add(label)
        self.checker.report.sites.add(f"{self.path.name}:{getattr(node, 'lineno', 0)}:{name}")
        if hasattr(owner, name):
            return True
        self.problem(node, f"{label} does not exist")
        return False

    def problem(self, node: ast.AST, text: str) -> None:
        found = f"{self.path.name}:{getattr(node, 'lineno', 0)}: {text}"
        if found not in self.checker.report.problems:
            self.checker.report.problems.append(found)


def double_problems(classes: Iterable[type], module: Any) -> list[str]:
    """Return what test doubles have that the real classes of the same name lack."""
    found = []
    for double in classes:
        real = getattr(module, double.__name__, None)
        if real is None:
            found.append(f"{double.__name__} does not exist")
            continue
        for name in vars(double):
            if not name.startswith("_") and not hasattr(real, name):
                found.append(f"{double.__name__}.{name} does not exist")
    return found
