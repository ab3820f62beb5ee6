// Command licences lists the licences of the Go modules that this module and kratosv3 link, and of the npm packages
// that the checks run or that the web console has a copy of. It refuses all licences except the accepted ones.
//
//	licences FILE         compare FILE with the list, exit 1 if they differ
//	licences -write FILE  write the list to FILE
//
// It must run in the folder of go.mod and reads the module cache.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

const npmLock = "scripts/npm/package-lock.json"

func main() {
	write := flag.Bool("write", false, "write the file")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, write bool) error {
	modules, err := goModules(ctx, ".", "kratosv3")
	if err != nil {
		return err
	}
	packages, err := npmPackages(npmLock)
	if err != nil {
		return err
	}
	if err := refused(slices.Concat(modules, packages)); err != nil {
		return err
	}
	want := document(modules, packages)
	if write {
		return os.WriteFile(file, want, 0o644)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not up to date: run `make licences` and commit it", file)
	}
	return nil
}

// dependency is a module or package of another author.
type dependency struct {
	name     string
	licences []string // SPDX identifiers, sorted; all of them apply
}

// accepted are the licences that a service may link without publishing its own source:
// EPL-2.0 and MPL-2.0 require that for their own files only.
const accepted = "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 EPL-2.0 " +
	"ISC MIT MIT-0 MPL-2.0 Python-2.0 Unicode-DFS-2016 Unlicense Zlib"

func isAccepted(licence string) bool { return slices.Contains(strings.Fields(accepted), licence) }

// refused returns one error for each dependency without an accepted licence.
func refused(all []dependency) error {
	var bad []error
	for _, d := range all {
		if len(d.licences) == 0 {
			bad = append(bad, fmt.Errorf("%s: no licence found; want one of %s", d.name, accepted))
		}
		for _, licence := range d.licences {
			if !isAccepted(licence) {
				bad = append(bad, fmt.Errorf("%s: licence %s is not accepted; want one of %s", d.name, licence, accepted))
			}
		}
	}
	return errors.Join(bad...)
}

func document(modules, packages []dependency) []byte {
	var out bytes.Buffer
	out.WriteString("# Licences of dependencies\n\nWritten by `make licences`, held by `make check-licences`.\n")
	section := func(title string, all []dependency) {
		fmt.Fprintf(&out, "\n## %s\n\n| name | licence |\n|---|---|\n", title)
		for _, d := range all {
			fmt.Fprintf(&out, "| %s | %s |\n", d.name, strings.Join(d.licences, ", "))
		}
	}
	section("Go modules that are linked", modules)
	section("npm packages that checks and tests run, or that the web console has a copy of", packages)
	return out.Bytes()
}
