// Command descsplit post-processes the Go files that the protoc plugins write.
//
// protoc-gen-go stores the descriptor of a file as a string, in which go_package, and with
// it the module path, is preceded by its length. `kratos new` replaces the module path
// byte for byte in every file, so that the length would be wrong and the new service would
// panic before main. descsplit therefore splits the path at its last slash
// ("example.com/org/" + "name/…"): the constant stays the same, but no literal contains
// the whole path any more.
//
// It also removes the comment with the version of protoc, so that protoc and buf write
// the same file.
//
// A descriptor set (.binpb), which a program embeds for its comments, loses go_package for the
// same reason, and what differs between compilers.
//
//	descsplit FILE|DIR...         rewrite every .pb.go and .binpb file, idempotent
//	descsplit -check FILE|DIR...  list what is left to split, exit 1 if anything is
//
// The module path is read from ./go.mod. A path without a slash, as in a service made by
// `kratos new`, is not split, because it is not replaced again.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "change nothing, list what is left to split")
	mod := flag.String("mod", "go.mod", "`file` that names the module")
	flag.Parse()
	if err := run(os.Stdout, *mod, *check, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "descsplit:", err)
		os.Exit(1)
	}
}

// run handles every generated file named by or below paths.
func run(out io.Writer, mod string, check bool, paths []string) error {
	module, err := modulePath(mod)
	if err != nil {
		return err
	}
	files, err := generated(paths)
	if err != nil {
		return err
	}
	var bad []error
	for _, file := range files {
		if check {
			bad = append(bad, report(out, file, module))
		} else {
			bad = append(bad, rewrite(file, module))
		}
	}
	return errors.Join(bad...)
}

// rewrite processes one file; a file that needs no change is not written.
func rewrite(file, module string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var out []byte
	if strings.HasSuffix(file, setSuffix) {
		out, err = finishSet(src)
	} else {
		out, err = finish(src, module)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if bytes.Equal(src, out) {
		return nil
	}
	return os.WriteFile(file, out, 0o644)
}

// report lists the lines of one file in which a replaced module path would do harm.
func report(out io.Writer, file, module string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.HasSuffix(file, setSuffix) {
		if strings.Contains(module, "/") && bytes.Contains(src, []byte(module)) {
			return fmt.Errorf("%s: it has the module path, want none, also in comments: run make api", file)
		}
		return nil
	}
	lines, err := leftovers(src, module)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, line := range lines {
		fmt.Fprintf(out, "%s:%d: module path in a literal\n", file, line)
	}
	if len(lines) > 0 {
		return fmt.Errorf("%s: run make api", file)
	}
	return nil
}

// generated lists the .pb.go files and descriptor sets named by or below paths.
func generated(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && (strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, setSuffix)) {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// modulePath reads the module line of a go.mod file.
func modulePath(file string) (string, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(src)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`), nil
		}
	}
	return "", fmt.Errorf("%s: no module line", file)
}
