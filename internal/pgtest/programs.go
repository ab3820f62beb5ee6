package pgtest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
)

var errMissing = errors.New("PostgreSQL is not installed")

type programs struct{ initdb, postgres string }

// findPrograms looks where Debian keeps its versions, the newest first, and
// then in PATH.
func findPrograms() (programs, error) {
	var found programs
	newest := 0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range dirs {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if p, ok := look(dir + "/"); ok && version > newest {
			found, newest = p, version
		}
	}
	if newest > 0 {
		return found, nil
	}
	if p, ok := look(""); ok {
		return p, nil
	}
	return programs{}, errMissing
}

func look(prefix string) (programs, bool) {
	initdb, err1 := exec.LookPath(prefix + "initdb")
	postgres, err2 := exec.LookPath(prefix + "postgres")
	return programs{initdb, postgres}, err1 == nil && err2 == nil
}
