package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// compacted is a new file with the state at some moment, and with the changes that were
// appended to the current file since, up to a position.
type compacted struct {
	path   string
	base   int64 // size of the state, with the header
	from   int64 // size of the current file at that moment
	copied int64 // position in the current file up to which the new file has the changes
	err    error
}

// copyAtOnce is how many appended bytes are left for the writing goroutine, which copies
// them while acknowledgements wait.
const copyAtOnce = 1 << 20

// compact begins to write a file with only the current state. Meanwhile changes are
// appended to the current file and acknowledged; they are copied at the end.
func (j *journal) compact() {
	now := j.snapshot(j)
	j.put(now.pending, now.position, false)
	c, done := compacted{path: j.path + ".new", from: j.size}, make(chan compacted, 1)
	j.compacting = done
	go func() { done <- c.make(j, now.frames) }()
}

// make writes the new file and flushes it to disk. It runs beside the goroutine that
// appends to the current file.
func (c compacted) make(j *journal, frames []byte) compacted {
	c.copied, c.base = c.from, int64(len(journalHeader)+len(frames))
	c.err = writeWhole(c.path, append([]byte(journalHeader), frames...))
	for range 4 { // each time less is left, unless changes are appended faster than the disk writes
		end := j.last.Load()
		if c.err != nil || end-c.copied < copyAtOnce {
			break
		}
		c.err = c.append(j.path, end, true)
	}
	return c
}

// append copies what the current file has up to a position.
func (c *compacted) append(current string, end int64, sync bool) (err error) {
	from, err := os.Open(current)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(c.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.NewSectionReader(from, c.copied, end-c.copied))
	if err == nil && n < end-c.copied {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && sync {
		err = to.Sync()
	}
	c.copied = end
	return errors.Join(err, to.Close())
}

// finish replaces the current file by the compacted one.
func (j *journal) finish(c compacted) {
	err := c.err
	if err == nil {
		err = c.append(j.path, j.size, j.syncEvery == 0)
	}
	if err == nil {
		err = j.replace(c.path)
	}
	if err != nil {
		j.failed("be compacted", errors.Join(err, os.Remove(c.path)))
		j.base = j.size // do not compact again at once
		return
	}
	j.size += c.base - c.from
	j.base = c.base
	j.last.Store(j.size)
	if j.syncEvery > 0 {
		j.unsynced, j.moved, j.lastSync = true, true, time.Time{} // at once
		return
	}
	syncFolder(filepath.Dir(j.path))
}

// replace makes a file the current one.
func (j *journal) replace(path string) error {
	if j.file != nil { // some systems do not replace an open file
		_ = j.file.Close()
		j.file = nil
	}
	if err := os.Rename(path, j.path); err != nil {
		return fmt.Errorf("broker: journal: %w", err)
	}
	_ = j.open() // else the next write opens it, or reports why it cannot
	return nil
}

// create makes the first file.
func (j *journal) create(frames []byte) error {
	path := j.path + ".new"
	if err := writeWhole(path, append([]byte(journalHeader), frames...)); err != nil {
		return fmt.Errorf("broker: journal: %w", errors.Join(err, os.Remove(path)))
	}
	if err := j.replace(path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	syncFolder(filepath.Dir(j.path))
	j.size = int64(len(journalHeader) + len(frames))
	j.base, j.lastSync = j.size, time.Now()
	j.last.Store(j.size)
	if j.file == nil {
		return j.open()
	}
	return nil
}

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
