package broker

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzJournal: whatever a file holds, reading it neither fails nor runs away, and
// what was read is written and read again the same.
func FuzzJournal(f *testing.F) {
	w := &frameWriter{}
	add := func(b []byte) { w.add(func(p []byte) []byte { return append(p, b...) }) }
	s := &session{id: "c", version: 5, expiry: 100, number: 1, left: time.Now()}
	add(s.appendRecord(nil))
	add(appendString(appendNumber(nil, recordSubscribe, 1, 7, 1), "$share/g/t"))
	m := &message{topic: "t", payload: []byte("x"), qos: 2, number: 2, props: []byte{1, 1}}
	record := recorder{generation: 1}
	add(record.appendMessage(nil, m))
	add(s.appendQueued(nil, &delivery{msg: m, number: 3, qos: 2, ids: []uint32{7}, group: &group{filter: "$share/g/t"}}))
	add(appendNumber(nil, recordSent, 3, 9, uint64(released)))
	add(appendNumber(nil, recordReceived, 1, 4))
	add(appendNumber(nil, recordRetain, 2))
	f.Add(bytes.Clone(w.end()[frameHeader:]))
	for t := recordSession; t <= recordForget; t++ {
		f.Add([]byte{byte(t), 1, 1, 1, 1, 1, 1, 1, 1})
	}
	path := filepath.Join(f.TempDir(), "journal")
	f.Fuzz(func(t *testing.T, records []byte) {
		if len(records) == 0 {
			return
		}
		frame := append(make([]byte, frameHeader), records...)
		seal(frame)
		first, found := reread(t, path, frame)
		_, same := reread(t, path, first)
		if found.Sessions != same.Sessions || found.Messages != same.Messages || found.Retained != same.Retained || same.Cut != 0 {
			t.Fatalf("read %+v, then %+v", found, same)
		}
	})
}

// reread writes frames to a file and reads the file into a core, whose state is
// encoded anew.
func reread(t *testing.T, path string, frames []byte) ([]byte, Recovery) {
	t.Helper()
	if err := os.WriteFile(path, append([]byte(journalHeader), frames...), 0o600); err != nil {
		t.Fatal(err)
	}
	r, cut, err := readJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	o := defaults()
	c := newCore(&o)
	c.mu.Lock()
	defer c.mu.Unlock()
	found := r.into(c, time.Now())
	found.Cut = cut
	defer c.forget()
	return c.record.frames(c.sessions, c.retained.byTopic), found
}
