package ownfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	if err := Folder(folder); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(folder, "f")
	f, err := Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]os.FileMode{name: 0o600, folder: 0o700, filepath.Dir(folder): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// A link is rejected whether its target exists or not.
func TestLinks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target := filepath.Join(folder, "target")
	if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": target, "dangling": filepath.Join(folder, "nothing"), "folder": folder} {
		path := filepath.Join(folder, name)
		if err := os.Symlink(to, path); err != nil {
			t.Skip(err)
		}
		if err := Check(path); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v", name, err)
		}
		if f, err := Open(path, os.O_RDWR|os.O_CREATE); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	if _, err := Open(folder, os.O_RDONLY); !errors.Is(err, ErrNoFile) {
		t.Errorf("a folder: %v", err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "theirs" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(folder, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made where the link leads to: %v", err)
	}
}
