package operator

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Archiver takes letters that are no longer needed in the store. It must be safe for concurrent use.
type Archiver interface {
	// Add returns nil once the letter is durable. A letter may be added twice, if its deletion
	// from the store failed.
	Add(ctx context.Context, l *deadletter.Letter) error
}

// StoreArchive archives letters in another store, such as a second table. Create it with
// [NewStoreArchive]. It is safe for concurrent use.
type StoreArchive struct{ store deadletter.Store }

// NewStoreArchive returns an archive in a store. It does not close the store.
func NewStoreArchive(store deadletter.Store) *StoreArchive { return &StoreArchive{store} }

// Add implements [Archiver]. The errors are those of the store.
func (a *StoreArchive) Add(ctx context.Context, l *deadletter.Letter) error {
	return a.store.Put(ctx, l)
}

// FileArchive archives letters in a file of JSON lines. Each line is a CloudEvent in structured
// JSON, which [deadletter.Decode] reads as the payload of a message. Create it with
// [OpenArchive]. It is safe for concurrent use.
type FileArchive struct {
	mu   sync.Mutex
	file *os.File
}

// OpenArchive opens a file for appending, or creates it, readable by this user only.
func OpenArchive(path string) (*FileArchive, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("operator: archive: %w", err)
	}
	a := &FileArchive{file: file}
	if err := a.endLine(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("operator: archive %s: %w", path, err)
	}
	return a, nil
}

// endLine ends a line that an earlier process left unfinished.
func (a *FileArchive) endLine() error {
	info, err := a.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := a.file.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = a.file.WriteString("\n")
	return err
}

// Add implements [Archiver]. The line is on the disk when it returns nil.
func (a *FileArchive) Add(_ context.Context, l *deadletter.Letter) error {
	m, err := deadletter.Encode(l, false)
	if err != nil {
		return err
	}
	a.mu.Lock() // orders the lines; a write to a file is what this type is for
	defer a.mu.Unlock()
	if _, err := a.file.Write(append(m.Payload, '\n')); err != nil {
		_ = a.endLine() // what follows must not be appended to a part of this line
		return fmt.Errorf("operator: archive: %w", err)
	}
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("operator: archive: %w", err)
	}
	return nil
}

// Close closes the file.
func (a *FileArchive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Close()
}
