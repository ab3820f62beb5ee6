package deadletterfile_test

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
)

// The few parked letters of one owner are found among many, in order, also after a restart.
func TestParkedOfOneOwnerAmongMany(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letters")
	s, err := deadletterfile.Open(path, deadletterfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	var want, drop []string
	var writers sync.WaitGroup
	for i := range n {
		l := deadlettertest.Letter(i, deadletter.Parked)
		switch l.Owner = "many"; {
		case i%3 == 0:
			l.State = deadletter.Dead
		case i%100 == 50:
			drop = append(drop, l.ID)
			l.Owner = "few"
		case i%100 == 1 || i == n-2:
			want = append(want, l.ID)
			l.Owner = "few"
		}
		writers.Go(func() {
			if err := s.Put(t.Context(), l); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if err := s.Delete(t.Context(), drop...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got []string
		q := deadletter.Query{State: deadletter.Parked, Owner: "few", Limit: 3}
		for page, err := s.List(t.Context(), q); len(page) > 0 || err != nil; page, err = s.List(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page {
				got = append(got, l.ID)
			}
			q.After = got[len(got)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = deadletterfile.Open(path, deadletterfile.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
}
