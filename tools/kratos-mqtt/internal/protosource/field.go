package protosource

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bufbuild/protocompile/ast"
)

// Has reports whether the file declares a message, outside of other ones.
func (f *File) Has(message string) bool { return f.message(message) != nil }

func (f *File) message(name string) *ast.MessageNode {
	for _, d := range f.tree.Decls {
		if m, ok := d.(*ast.MessageNode); ok && m.Name.Val == name {
			return m
		}
	}
	return nil
}

// Field adds a field at the end of a message, with the next number that nothing uses or reserves.
// A field of this name and another type is an error.
func (f *File) Field(message, typ, name string) error {
	m := f.message(message)
	if m == nil {
		return f.errorf(nil, "there is no message %s", message)
	}
	if field := find(m, name); field != nil {
		if t := f.source(field.FldType); t != typ {
			return f.errorf(field, "the field %s of %s is a %s, want %s", name, message, t, typ)
		}
		return nil
	}
	number := next(m.Decls)
	if number > 1<<29-1 {
		return f.errorf(m, "the numbers of %s are used up", message)
	}
	text := typ + " " + name + " = " + strconv.FormatUint(number, 10) + ";"
	switch last := len(m.Decls) - 1; {
	case last >= 0 && f.line(m.CloseBrace) == f.tree.NodeInfo(m.Decls[last]).End().Line: // on one line
		at := f.end(m.Decls[last])
		return f.replace(at, at, " "+text)
	case last >= 0:
		at := f.lineEnd(f.end(m.Decls[last]))
		return f.replace(at, at, "\n"+f.indent(m.Decls[last])+text)
	case f.line(m.CloseBrace) == f.line(m.OpenBrace):
		return f.replace(f.end(m.OpenBrace), f.end(m.OpenBrace), " "+text)
	}
	at := f.lineEnd(f.end(m.OpenBrace))
	return f.replace(at, at, "\n"+f.indent(m)+"  "+text)
}

// RemoveField removes a field from a message. A field with another type, an option or a comment of
// its own is [ErrChanged], and stays unless force is set.
func (f *File) RemoveField(message, typ, name string, force bool) error {
	m := f.message(message)
	if m == nil {
		return nil
	}
	field := find(m, name)
	if field == nil {
		return nil
	}
	if t := f.source(field.FldType); !force && (t != typ || field.Options != nil || f.tree.NodeInfo(field).LeadingComments().Len() > 0) {
		return f.errorf(field, "%s of %s %w", name, message, ErrChanged)
	}
	start, end := f.start(field), f.end(field)
	if strings.TrimSpace(string(f.text[f.lineStart(start):start])) == "" && f.lineEnd(end) < len(f.text) && strings.TrimSpace(string(f.text[end:f.lineEnd(end)])) == "" {
		return f.replace(f.lineStart(start), f.lineEnd(end)+1, "")
	}
	blanks := len(f.text[:start]) - len(strings.TrimRight(string(f.text[:start]), " \t"))
	return f.replace(start-blanks, end, "")
}

func find(m *ast.MessageNode, name string) *ast.FieldNode {
	at := slices.IndexFunc(m.Decls, func(e ast.MessageElement) bool {
		field, ok := e.(*ast.FieldNode)
		return ok && field.Name.Val == name
	})
	if at < 0 {
		return nil
	}
	field, _ := m.Decls[at].(*ast.FieldNode)
	return field
}

// next returns the number behind all that elements of a message use or reserve.
func next[E ast.Node](elements []E) uint64 {
	highest := uint64(0)
	for _, e := range elements {
		switch e := any(e).(type) {
		case *ast.FieldNode:
			highest = max(highest, e.Tag.Val)
		case *ast.MapFieldNode:
			highest = max(highest, e.Tag.Val)
		case *ast.GroupNode:
			highest = max(highest, e.Tag.Val)
		case *ast.OneofNode:
			highest = max(highest, next(e.Decls)-1)
		case *ast.ReservedNode:
			highest = max(highest, end(e.Ranges))
		case *ast.ExtensionRangeNode:
			highest = max(highest, end(e.Ranges))
		}
	}
	if n := highest + 1; n < 19000 || n > 19999 { // reserved by protobuf
		return n
	}
	return 20000
}

func end(ranges []*ast.RangeNode) (highest uint64) {
	for _, r := range ranges {
		if v, ok := r.EndValueAsInt32(0, 1<<29-1); ok {
			highest = max(highest, uint64(v))
		}
	}
	return highest
}
