package deadletterfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
)

const (
	filtersBucket = "filters" // filtersKey and client id: record
	// filtersKey is the prefix of the keys of remembered filters, so that records of a damaged
	// file can be recognised. No id of a letter starts with it.
	filtersKey = "\x00filters\x00"
)

var _ deadletter.FilterMemory = (*Store)(nil)

func isFilters(key []byte) bool { return bytes.HasPrefix(key, []byte(filtersKey)) }

func encodeFilters(key []byte, filters []string) []byte {
	b := binary.AppendUvarint(record.New(1<<10), uint64(len(filters)))
	for _, f := range filters {
		b = record.AppendString(b, f)
	}
	record.Seal(key, b)
	return b
}

func decodeFilters(key, rec []byte) (filters []string, err error) {
	body, err := record.Open(key, rec)
	if err != nil {
		return nil, err
	}
	r := record.NewReader(body)
	n := r.Uvarint()
	for range min(n, uint64(len(body))) { // each takes at least one byte
		filters = append(filters, r.String())
	}
	return filters, r.Err()
}

// Filters implements [deadletter.FilterMemory]. It fails if the record is damaged on disk.
func (s *Store) Filters(_ context.Context, clientID string) (filters []string, err error) {
	key := []byte(filtersKey + clientID)
	err = s.file.View(func(tx *bbolt.Tx) (err error) {
		if rec := tx.Bucket([]byte(filtersBucket)).Get(key); rec != nil {
			filters, err = decodeFilters(key, rec)
		}
		return err
	})
	if err != nil {
		return nil, wrap("read filters", err)
	}
	return filters, nil
}

// SetFilters implements [deadletter.FilterMemory]. If ctx ends first, its error is returned,
// and the filters may still be stored.
func (s *Store) SetFilters(ctx context.Context, clientID string, filters []string) error {
	key := []byte(filtersKey + clientID)
	if len(key) > bbolt.MaxKeySize {
		return fmt.Errorf("deadletter file: client id has %d bytes, want at most %d", len(clientID), bbolt.MaxKeySize-len(filtersKey))
	}
	filters = slices.Compact(slices.Sorted(slices.Values(filters)))
	op := boltfile.Op{Apply: func(tx *bbolt.Tx) error { return tx.Bucket([]byte(filtersBucket)).Delete(key) }}
	if len(filters) > 0 {
		rec := encodeFilters(key, filters)
		op = boltfile.Op{Grow: len(key) + len(rec), Apply: func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(filtersBucket)).Put(key, rec)
		}}
	}
	return wrap("write filters", s.file.Update(ctx, op))
}
