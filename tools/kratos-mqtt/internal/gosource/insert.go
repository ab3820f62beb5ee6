package gosource

import (
	"slices"
	"strings"
)

// ArgumentAt adds an argument to a call as Argument does, in front of the one of an index. An index of
// no argument means the end.
func (f *File) ArgumentAt(within, callee, argument string, at int) error {
	call, err := f.call(within, callee)
	if err != nil {
		return err
	}
	if f.argument(call, argument) >= 0 {
		return nil
	}
	if at < 0 || at >= len(call.Args) {
		return f.Argument(within, callee, argument)
	}
	return f.insertBefore(f.offset(call.Args[at].Pos()), argument)
}

// TypeAt adds a parameter of a type to a function, in front of the one of an index, or at the end. It
// gets no name if the others have none. A function that has a parameter of this type stays as it is.
func (f *File) TypeAt(function, name, typ string, at int) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	list := fn.Type.Params.List
	text := name + " " + typ
	index, number := len(list), 0
	for i, field := range list {
		if same(f.source(field.Type), typ) {
			return nil
		}
		if len(field.Names) == 0 {
			text = typ
		}
		if number == at {
			index = i
		}
		number += max(1, len(field.Names))
	}
	if index < len(list) {
		return f.insertBefore(f.offset(list[index].Pos()), text)
	}
	return f.appendTo(nodes(list), f.offset(fn.Type.Params.Opening)+1, f.offset(fn.Type.Params.Closing), text)
}

// RemoveType removes the parameter of a type from a function.
func (f *File) RemoveType(function, typ string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	for i, field := range fn.Type.Params.List {
		if same(f.source(field.Type), typ) && len(field.Names) <= 1 {
			return f.removeFrom(nodes(fn.Type.Params.List), i)
		}
	}
	return nil
}

// HasType reports whether a function has a parameter of a type.
func (f *File) HasType(function, typ string) bool {
	all, err := f.Types(function)
	return err == nil && slices.ContainsFunc(all, func(t string) bool { return same(t, typ) })
}

// insertBefore adds an item to a list in front of the one that begins at start.
func (f *File) insertBefore(start int, item string) error {
	if strings.TrimSpace(string(f.text[f.lineStart(start):start])) == "" {
		return f.replace(start, start, item+",\n"+f.indent(start))
	}
	return f.replace(start, start, item+", ")
}
