package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// A journal file consists of a header and frames: the length of the records, their checksum,
// and the records. A frame is applied completely or not at all.
const (
	journalHeader = "kratos-mqtt broker journal 1\n"
	frameHeader   = 8
	frameSize     = 1 << 20 // of a frame in a compacted file, about
	// journalRoom is the number of bytes that may wait to be written before the broker stops
	// reading.
	journalRoom = 32 << 20
	// journalSlack is how much larger than twice its compacted size a file may be.
	journalSlack = 16 << 20
	// journalRetry is the pause after a failed write.
	journalRetry = time.Second
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

// journal stores the sessions and the retained messages in a file. Every change is appended,
// and a packet that confirms a change to a client is sent only after the change is in the
// file, see [journal.wait]. All methods work on nil, which stores nothing.
type journal struct {
	path      string
	syncEvery time.Duration
	log       *slog.Logger
	snapshot  func(*journal) snapshotFrames
	locked    func(func()) // with the core's mutex: then the state is whole

	appended atomic.Uint64 // position: bytes appended since the start
	written  atomic.Uint64 // position up to which the file has it

	mu       sync.Mutex // taken after the core's
	pending  []byte     // a frame, without its header filled in
	spare    []byte
	progress chan struct{} // closed when more is written, then replaced
	failures int64

	wake   chan struct{}
	stop   chan struct{}
	ended  chan struct{}
	abrupt atomic.Bool

	// Owned by the goroutine that writes.
	file     journalFile
	openFile func(path string) (journalFile, error)
	size     int64
	base     int64 // size after the last compaction
	lastSync time.Time
	unsynced bool
	unlock   func() // releases the file for other processes

	last atomic.Int64 // size, for others
}

// snapshotFrames is the whole state at a position, and the frame that was pending then, which
// the state already includes.
type snapshotFrames struct {
	frames   []byte
	pending  []byte
	position uint64
}

// startJournal creates a file with the current state. The caller must hold no lock.
func startJournal(o *options, unlock func(), locked func(func()), snapshot func(*journal) snapshotFrames) (*journal, error) {
	j := &journal{
		path: o.file, syncEvery: o.syncEvery, log: o.log, openFile: o.openFile, unlock: unlock, locked: locked, snapshot: snapshot,
		progress: make(chan struct{}), wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := j.replace(snapshot(j).frames); err != nil {
		return nil, err
	}
	go j.run()
	return j, nil
}

// append adds what encode appends to its argument. The core's mutex is held.
func (j *journal) append(encode func([]byte) []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending) == 0 {
		j.pending = append(j.spare[:0], make([]byte, frameHeader)...)
		j.spare = nil
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	before := len(j.pending)
	j.pending = encode(j.pending)
	j.appended.Add(uint64(len(j.pending) - before))
}

// stats returns the size of the file and the number of failed writes.
func (j *journal) stats() (bytes, failures int64) {
	if j == nil {
		return 0, 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last.Load(), j.failures
}

// position returns the current end of the journal.
func (j *journal) position() uint64 {
	if j == nil {
		return 0
	}
	return j.appended.Load()
}

// wait waits until the file contains everything up to a position. It returns false if done is
// closed first.
func (j *journal) wait(position uint64, done <-chan struct{}) bool {
	return j == nil || j.await(done, func() bool { return j.written.Load() >= position })
}

// awaitRoom waits while too many bytes wait to be written.
func (j *journal) awaitRoom(done <-chan struct{}) {
	if j != nil {
		j.await(done, func() bool { return j.appended.Load()-j.written.Load() < journalRoom })
	}
}

func (j *journal) await(done <-chan struct{}, reached func() bool) bool {
	for !reached() {
		j.mu.Lock()
		progress := j.progress
		j.mu.Unlock()
		if reached() {
			break
		}
		select {
		case <-progress:
		case <-done:
			return false
		}
	}
	return true
}

// run writes appended changes until close.
func (j *journal) run() {
	defer close(j.ended)
	for {
		var due <-chan time.Time
		var t *time.Timer
		if j.unsynced {
			t = time.NewTimer(time.Until(j.lastSync.Add(j.syncEvery)))
			due = t.C
		}
		closing := false
		select {
		case <-j.wake:
		case <-due:
			j.sync()
		case <-j.stop:
			closing = true
		}
		if t != nil {
			t.Stop()
		}
		if !j.abrupt.Load() {
			var frame []byte
			var position uint64
			j.locked(func() { frame, position = j.take() })
			j.put(frame, position, closing)
		}
		if closing {
			j.end()
			return
		}
		if j.size > 2*j.base+journalSlack {
			j.compact()
		}
	}
}

// end closes the file.
func (j *journal) end() {
	if !j.abrupt.Load() && j.unsynced {
		j.sync()
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	j.unlock()
}

// close writes appended changes, unless abrupt, and ends the journal. Callers of wait then
// wait until their connection ends.
func (j *journal) close(abrupt bool) {
	if j == nil {
		return
	}
	j.abrupt.Store(abrupt)
	close(j.stop)
	<-j.ended
}

// take returns the pending frame and the position after it. With the core's mutex
// held, the frame leads from one whole state to the next: after a crash there is no
// half of what a packet, or the end of a session, has changed.
func (j *journal) take() (frame []byte, position uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	frame, j.pending = j.pending, nil
	return frame, j.appended.Load()
}

// put writes a frame. It retries until it succeeds or the journal is closed.
func (j *journal) put(frame []byte, position uint64, closing bool) {
	if len(frame) == 0 {
		return
	}
	seal(frame)
	for {
		err := j.write(frame)
		if err == nil {
			break
		}
		j.failed("write", err)
		if closing {
			return
		}
		select {
		case <-time.After(journalRetry):
		case <-j.stop:
			closing = true
		}
	}
	j.reached(position, frame)
}

// write appends a frame to the file completely, or not at all.
func (j *journal) write(frame []byte) error {
	if j.file == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	n, err := j.file.WriteAt(frame, j.size)
	if err == nil && j.syncEvery == 0 {
		err = j.file.Sync()
	}
	if err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(n)
	j.last.Store(j.size)
	j.unsynced = j.syncEvery > 0
	return nil
}

// reached wakes the callers of wait: the file contains everything up to a position.
func (j *journal) reached(position uint64, spare []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.written.Store(position)
	if cap(spare) <= 4*frameSize {
		j.spare = spare
	}
	close(j.progress)
	j.progress = make(chan struct{})
}

func (j *journal) sync() {
	j.lastSync, j.unsynced = time.Now(), false
	if j.file == nil {
		return
	}
	if err := j.file.Sync(); err != nil {
		j.failed("sync", err)
	}
}

func (j *journal) failed(what string, err error) {
	j.mu.Lock()
	j.failures++
	j.mu.Unlock()
	j.log.Error("broker: the journal cannot "+what+", nothing is acknowledged until it can", "path", j.path, "error", err)
}

// compact replaces the file by one with only the current state. Acknowledgements wait in the
// meantime.
func (j *journal) compact() {
	now := j.snapshot(j)
	if err := j.replace(now.frames); err != nil {
		j.failed("be compacted", err)
		j.base = j.size // do not compact again at once
		j.put(now.pending, now.position, false)
		return
	}
	j.reached(now.position, now.pending)
}

// replace writes a new file and replaces the current one by it.
func (j *journal) replace(frames []byte) error {
	temporary := j.path + ".new"
	if err := writeWhole(temporary, append([]byte(journalHeader), frames...)); err != nil {
		return fmt.Errorf("broker: journal: %w", errors.Join(err, os.Remove(temporary)))
	}
	if j.file != nil { // some systems do not replace an open file
		_ = j.file.Close()
		j.file = nil
	}
	if err := os.Rename(temporary, j.path); err != nil {
		return fmt.Errorf("broker: journal: %w", errors.Join(err, os.Remove(temporary)))
	}
	syncFolder(filepath.Dir(j.path))
	j.size = int64(len(journalHeader) + len(frames))
	j.base, j.lastSync, j.unsynced = j.size, time.Now(), false
	j.last.Store(j.size)
	return j.open()
}

func (j *journal) open() error {
	file, err := j.openFile(j.path)
	if err == nil {
		j.file = file
	}
	return err
}

// journalFile is an open file for writing.
type journalFile interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

func openJournalFile(path string) (journalFile, error) { return os.OpenFile(path, os.O_WRONLY, 0o600) }

func writeWhole(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncFolder makes a rename durable, if the system supports it.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
}

// seal fills in the header of a frame.
func seal(frame []byte) {
	records := frame[frameHeader:]
	binary.LittleEndian.PutUint32(frame, uint32(len(records)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(records, checksums))
}
