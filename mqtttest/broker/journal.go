package broker

import (
	"encoding/binary"
	"errors"
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
	live      func() int64 // about the number of bytes of a snapshot
	locked    func(func()) // calls a function with the core's mutex held, when the state is consistent

	appended atomic.Uint64 // position: bytes appended since the start
	written  atomic.Uint64 // position up to which the file contains the changes
	failing  atomic.Bool   // the last write has failed

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
	base     int64 // size of the state when it was last measured
	lastSync time.Time
	unsynced bool
	moved    bool   // the file was renamed, and its folder is not synced yet
	unlock   func() // releases the file for other processes
	// Syncing and compacting may take seconds, in which changes are still appended. At most
	// one of each is running; nil means that none is.
	syncing    chan error
	compacting chan compacted

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
func startJournal(o *options, unlock func(), locked func(func()), snapshot func(*journal) snapshotFrames, live func() int64) (*journal, error) {
	j := &journal{
		path: o.file, syncEvery: o.syncEvery, log: o.log, openFile: o.openFile, unlock: unlock, locked: locked, snapshot: snapshot, live: live,
		progress: make(chan struct{}), wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := j.create(snapshot(j).frames); err != nil {
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
// closed first. In the meantime it calls meanwhile whenever wake receives.
func (j *journal) wait(position uint64, done, wake <-chan struct{}, meanwhile func()) bool {
	return j == nil || j.await(done, wake, meanwhile, func() bool { return j.written.Load() >= position })
}

// stuck reports whether changes cannot be written.
func (j *journal) stuck() bool { return j != nil && j.failing.Load() }

// awaitRoom waits while too many bytes wait to be written.
func (j *journal) awaitRoom(done <-chan struct{}) {
	if j != nil {
		j.await(done, nil, nil, func() bool { return j.appended.Load()-j.written.Load() < journalRoom })
	}
}

func (j *journal) await(done, wake <-chan struct{}, meanwhile func(), reached func() bool) bool {
	for !reached() {
		j.mu.Lock()
		progress := j.progress
		j.mu.Unlock()
		if reached() {
			break
		}
		select {
		case <-progress:
		case <-wake:
			meanwhile()
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
		if j.unsynced && !j.busy() {
			t = time.NewTimer(time.Until(j.lastSync.Add(j.syncEvery)))
			due = t.C
		}
		closing := false
		select {
		case <-j.wake:
		case <-due:
			j.beginSync()
		case err := <-j.syncing:
			j.synced(err)
		case c := <-j.compacting:
			j.compacting = nil
			j.finish(c)
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
		if j.overgrown() && !j.busy() {
			j.base = j.live() // the state may have grown, and not only the obsolete records
			if j.overgrown() {
				j.compact()
			}
		}
	}
}

// overgrown reports whether the file is so much larger than the state that it is to be
// compacted.
func (j *journal) overgrown() bool { return j.size > 2*j.base+journalSlack }

// busy reports whether a sync or compaction is running.
func (j *journal) busy() bool { return j.syncing != nil || j.compacting != nil }

// end closes the file once no sync or compaction is running.
func (j *journal) end() {
	if j.syncing != nil {
		j.synced(<-j.syncing)
	}
	if j.compacting != nil {
		_ = os.Remove((<-j.compacting).path)
	}
	if !j.abrupt.Load() && j.unsynced && j.file != nil {
		if err := j.file.Sync(); err != nil {
			j.failed("sync", err)
		}
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

// take returns the pending frame and the position after it. The core's mutex is held, so
// that each frame leads from one consistent state to the next: after a crash, the changes
// of a packet or of the end of a session are either all there or missing.
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
		j.failing.Store(true)
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
	j.failing.Store(false)
	if cap(spare) <= 4*frameSize {
		j.spare = spare
	}
	close(j.progress)
	j.progress = make(chan struct{})
}

// beginSync flushes the file to disk, on a goroutine that ends with synced.
func (j *journal) beginSync() {
	j.lastSync, j.unsynced = time.Now(), false
	if j.file == nil {
		return
	}
	file, folder, done := j.file, "", make(chan error, 1)
	if j.moved {
		folder, j.moved = filepath.Dir(j.path), false
	}
	j.syncing = done
	go func() {
		err := file.Sync()
		if folder != "" {
			syncFolder(folder)
		}
		done <- err
	}()
}

func (j *journal) synced(err error) {
	if j.syncing = nil; err != nil {
		j.failed("sync", err)
	}
}

func (j *journal) failed(what string, err error) {
	j.mu.Lock()
	j.failures++
	j.mu.Unlock()
	j.log.Error("broker: the journal cannot "+what+", nothing is acknowledged meanwhile", "path", j.path, "error", err)
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

// seal fills in the header of a frame.
func seal(frame []byte) {
	records := frame[frameHeader:]
	binary.LittleEndian.PutUint32(frame, uint32(len(records)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(records, checksums))
}
