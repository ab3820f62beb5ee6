package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// compilerLine matches the line in which plugins name their compiler:
// "// <tab>protoc        v3.21.12" or "// - protoc             (unknown)".
var compilerLine = regexp.MustCompile(`(?m)^// (\t|- )protoc +\S+\n`)

// finish returns src with the module path split in every string literal and without the
// version of the compiler. The values of all constants stay the same.
func finish(src []byte, module string) ([]byte, error) {
	src = compilerLine.ReplaceAll(src, nil)
	cut := strings.LastIndexByte(module, '/') + 1
	if cut == 0 {
		return src, nil
	}
	literals, _, err := literalsWith(src, module)
	if err != nil {
		return nil, err
	}
	halves := []byte(module[:cut] + `" + "` + module[cut:])
	for _, at := range slices.Backward(literals) {
		text := bytes.ReplaceAll(src[at.start:at.end], []byte(module), halves)
		src = slices.Concat(src[:at.start], text, src[at.end:])
	}
	return src, nil
}

// leftovers returns the lines of string literals, except imports, that contain the whole
// module path.
func leftovers(src []byte, module string) ([]int, error) {
	if !strings.Contains(module, "/") {
		return nil, nil
	}
	literals, file, err := literalsWith(src, module)
	if err != nil {
		return nil, err
	}
	var lines []int
	for _, at := range literals {
		lines = append(lines, file.Line(file.Pos(at.start)))
	}
	return lines, nil
}

// span is a range of bytes in a file.
type span struct{ start, end int }

// literalsWith returns the string literals of src that contain text, in order, except
// import paths.
func literalsWith(src []byte, text string) ([]span, *token.File, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, "", src, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	file := set.File(tree.FileStart)
	var found []span
	ast.Inspect(tree, func(node ast.Node) bool {
		if _, ok := node.(*ast.ImportSpec); ok {
			return false
		}
		if lit, ok := node.(*ast.BasicLit); ok && strings.Contains(lit.Value, text) {
			found = append(found, span{file.Offset(lit.Pos()), file.Offset(lit.End())})
		}
		return true
	})
	return found, file, nil
}
