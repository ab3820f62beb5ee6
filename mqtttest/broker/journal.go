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

// A journal file is a header and then frames: the length of the records in it,
// their checksum, the records. A frame counts as a whole or not at all.
const (
	journalHeader = "kratos-mqtt broker journal 1\n"
	frameHeader   = 8
	frameSize     = 1 << 20 // of a frame in a compacted file, about
	// journalRoom is how many bytes may wait to be written before the broker
	// reads nothing more.
	journalRoom = 32 << 20
	// journalSlack is by how much a file may exceed twice its compacted size.
	journalSlack = 16 << 20
	// journalRetry is how long the journal waits after a failure to write.
	journalRetry = time.Second
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

// journal keeps the sessions and the retained messages in a file: every change is
// appended, and what tells a client about a change is written to it only after
// the change is in the file, see [journal.wait]. All methods work on nil, which
// keeps nothing.
type journal struct {
	path      string
	syncEvery time.Duration
	log       *slog.Logger
	snapshot  func(*journal) snapshotFrames

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

	// Of the goroutine that writes.
	file     journalFile
	openFile func(path string) (journalFile, error)
	size     int64
	base     int64 // size after the last compaction
	lastSync time.Time
	unsynced bool
	unlock   func() // releases the file for other processes

	last atomic.Int64 // size, for others
}

// snapshotFrames are the whole state at a position, and the frame that was
// pending there, of which the state is the outcome.
type snapshotFrames struct {
	frames   []byte
	pending  []byte
	position uint64
}

// startJournal begins a file that holds the state now. The caller has locked
// nothing.
func startJournal(o *options, unlock func(), snapshot func(*journal) snapshotFrames) (*journal, error) {
	j := &journal{
		path: o.file, syncEvery: o.syncEvery, log: o.log, openFile: o.openFile, unlock: unlock, snapshot: snapshot,
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

// stats are the size of the file and how often it could not be written.
func (j *journal) stats() (bytes, failures int64) {
	if j == nil {
		return 0, 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last.Load(), j.failures
}

// position is where the journal ends now.
func (j *journal) position() uint64 {
	if j == nil {
		return 0
	}
	return j.appended.Load()
}

// wait waits until the file has everything up to a position. It returns false
// when done is closed first.
func (j *journal) wait(position uint64, done <-chan struct{}) bool {
	return j == nil || j.await(done, func() bool { return j.written.Load() >= position })
}

// awaitRoom waits while too much waits to be written.
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

// run writes what is appended until close.
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
			frame, position := j.take()
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

// close writes what is appended, unless abrupt, and ends the journal. What waits
// for it then waits for ever, or until its connection ends.
func (j *journal) close(abrupt bool) {
	if j == nil {
		return
	}
	j.abrupt.Store(abrupt)
	close(j.stop)
	<-j.ended
}

// take returns the pending frame and the position behind it.
func (j *journal) take() (frame []byte, position uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	frame, j.pending = j.pending, nil
	return frame, j.appended.Load()
}

// put writes a frame. It tries again until it can, or until the journal is to be
// closed.
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

// write appends a frame to the file, or nothing of it.
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

// reached tells who waits that the file has everything up to a position.
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

// compact puts a file with nothing but the present state in the place of the
// present one. Acknowledgements wait meanwhile.
func (j *journal) compact() {
	now := j.snapshot(j)
	if err := j.replace(now.frames); err != nil {
		j.failed("be compacted", err)
		j.base = j.size // not at once again
		j.put(now.pending, now.position, false)
		return
	}
	j.reached(now.position, now.pending)
}

// replace writes a new file and puts it in the place of the present one.
func (j *journal) replace(frames []byte) error {
	temporary := j.path + ".new"
	if err := writeWhole(temporary, append([]byte(journalHeader), frames...)); err != nil {
		return fmt.Errorf("broker: journal: %w", errors.Join(err, os.Remove(temporary)))
	}
	if j.file != nil { // or some systems do not replace it
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

// journalFile is an open file that may be written.
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

// syncFolder makes a rename last, where the system can.
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
