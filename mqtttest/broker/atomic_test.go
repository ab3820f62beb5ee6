package broker

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// framesSeen is a file that shows what it is at each moment at which the process
// can be killed: after each frame.
type framesSeen struct {
	journalFile

	after func()
}

func (f framesSeen) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.journalFile.WriteAt(b, at)
	f.after()
	return n, err
}

// What one packet or the end of one session changes is in the file as a whole or
// not at all: a message that goes from the share of a session that ends to another
// one is in one of them at any moment.
func TestFileChangesFromOneWholeStateToTheNext(t *testing.T) {
	t.Parallel()
	const messages = 2000
	path := filepath.Join(t.TempDir(), "broker.journal")
	var mu sync.Mutex
	var problems []string
	check := false
	b, err := Listen(WithFile(path), func(o *options) {
		o.openFile = func(path string) (journalFile, error) {
			f, err := openJournalFile(path)
			return framesSeen{f, func() {
				mu.Lock()
				defer mu.Unlock()
				if !check {
					return
				}
				seen, _, err := readJournal(path)
				if err != nil {
					problems = append(problems, err.Error())
					return
				}
				kept := 0
				for _, d := range seen.deliveries {
					if seen.sessions[d.session] != nil {
						kept++
					}
				}
				if kept != messages {
					problems = append(problems, fmt.Sprintf("%d messages of %d, %d sessions, %d deliveries", kept, messages, len(seen.sessions), len(seen.deliveries)))
				}
			}}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := request{filter: "$share/g/t", share: "g", plain: "t", qos: 1}
	var one *session
	b.core.locked(func() {
		for _, id := range []string{"one", "two"} {
			s := b.core.newSession(id, 4)
			s.expiry, s.left = forever, time.Now()
			b.core.record.session(s)
			s.subscribe(r, 0)
			one = s
		}
		for range messages {
			b.core.publish(&message{topic: "t", payload: []byte("x"), qos: 1})
		}
	})
	written := func() {
		b.core.mu.Lock()
		j := b.core.record.journal
		b.core.mu.Unlock()
		j.wait(j.position(), nil, nil, nil)
	}
	written()
	mu.Lock()
	check = true
	mu.Unlock()
	b.core.locked(one.end)
	written()
	mu.Lock()
	defer mu.Unlock()
	check = false
	if len(problems) > 0 {
		t.Errorf("after %d frames: %v", len(problems), problems)
	}
}
