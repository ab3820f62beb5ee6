package deadletterfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string, o deadletterfile.Options) *deadletterfile.Store {
	t.Helper()
	s, err := deadletterfile.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, deadletterfile.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	deadlettertest.TestStore(t, func(t *testing.T, limit int) deadletter.Store {
		return open(t, filepath.Join(t.TempDir(), "new", "letters.db"), deadletterfile.Options{MaxLetters: limit})
	})
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters.db")
	s := open(t, path, deadletterfile.Options{})
	for n, state := range []deadletter.State{deadletter.Dead, deadletter.Parked, deadletter.Parked} {
		if err := s.Put(t.Context(), deadlettertest.Letter(n, state)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := deadletterfile.Open(path, deadletterfile.Options{LockTimeout: 50 * time.Millisecond}); !errors.Is(err, deadletterfile.ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Put": s.Put(t.Context(), deadlettertest.Letter(9, deadletter.Dead)), "Close": s.Close(),
		"Delete": s.Delete(t.Context(), "x"),
	} {
		if !errors.Is(err, deadletterfile.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	s = open(t, path, deadletterfile.Options{})
	if st, err := s.Stats(t.Context()); err != nil || st.Dead != 1 || st.Parked != 2 || !s.Parks() {
		t.Errorf("Stats after reopening: %+v, %v", st, err)
	}
}

// A letter that was changed on disk is shown, with what is left of it.
func TestDamagedLetterIsListed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters.db")
	s := open(t, path, deadletterfile.Options{})
	l := deadlettertest.Letter(1, deadletter.Parked)
	l.Payload = []byte("find me in the file")
	if err := s.Put(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("find me"), []byte("findXme"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, deadletterfile.Options{})
	ls, err := s.List(t.Context(), deadletter.Query{})
	if err != nil || len(ls) != 1 {
		t.Fatalf("List: %v, %v", ls, err)
	}
	got := ls[0]
	if got.ID != l.ID || got.State != deadletter.Dead || !strings.Contains(got.Reason, "damaged") ||
		!bytes.Contains(got.Payload, []byte("findXme")) {
		t.Errorf("damaged letter is listed as %+v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters.db")
	if err := os.WriteFile(path, []byte("this is no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := deadletterfile.Open(path, deadletterfile.Options{}); !errors.Is(err, deadletterfile.ErrCorrupt) {
		t.Errorf("Open of another file: %v, want ErrCorrupt", err)
	}
	if _, err := deadletterfile.Open("", deadletterfile.Options{MaxLetters: -1}); err == nil {
		t.Error("Open without path succeeded")
	}
	var r deadletterfile.Recovery
	s := open(t, path, deadletterfile.Options{OnCorrupt: func(got deadletterfile.Recovery) { r = got }})
	if err := s.Put(t.Context(), deadlettertest.Letter(1, deadletter.Dead)); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(r.Path); err != nil || string(b) != "this is no database" {
		t.Errorf("the damaged file is %q, %v", b, err)
	}
}

// engine.md D1: a file of an earlier version, which has no place for filters, is
// whole, and gets one.
func TestOldFileRemembersFilters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters.db")
	s, err := deadletterfile.Open(path, deadletterfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), deadlettertest.Letter(1, deadletter.Dead)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("filters")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // made, and read back
		s, err := deadletterfile.Open(path, deadletterfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			err = s.SetFilters(t.Context(), "id", []string{"a", "b"})
		} else if got, e := s.Filters(t.Context(), "id"); e != nil || len(got) != 2 {
			t.Errorf("filters %q, %v", got, e)
		}
		if _, e := s.Get(t.Context(), deadlettertest.ID(1)); e != nil {
			t.Error(e)
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
