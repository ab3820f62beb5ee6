package operator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// maxCursor is the size of a cursor in bytes: its keys take 15 each.
const maxCursor = 32 << 10

// hash shortens a key; two keys that have the same hash hold each other's letters, at worst.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// Cursor is where the next call goes on: Next of a page or an outcome, for a call with the same
// selection. "" begins at the start. It is valid for this kind of call only, and may be kept or sent
// as text.
type Cursor string

// position is what the cursor of a bulk operation has in it.
type position struct {
	// After is the id of the last letter that was looked at, or the number of the last entry.
	After string `json:"a,omitempty"`
	// Until is a UUIDv7 of when the operation began: it takes no letter with a greater one,
	// because letters that are replayed may fail again, and no younger entry.
	Until string `json:"u"`
	// Held are the hashes of the keys that have failed, in eight bytes each.
	Held []byte `json:"h,omitempty"`
}

func parsePosition(text Cursor) (c position, err error) {
	if text == "" {
		now, err := uuid.NewV7()
		return position{Until: now.String()}, err
	}
	if len(text) > maxCursor {
		return c, fmt.Errorf("%w: the cursor has %d bytes, want at most %d", ErrBadRequest, len(text), maxCursor)
	}
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || uuid.Validate(c.Until) != nil || len(c.Held)%8 != 0 {
		return c, fmt.Errorf("%w: the cursor is not one of an outcome", ErrBadRequest)
	}
	return c, nil
}

// began returns when the operation began, up to a millisecond later.
func (c *position) began() time.Time {
	id, err := uuid.Parse(c.Until)
	if err != nil { // cannot happen: it was checked
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime()).Add(time.Millisecond)
}

// hold holds the keys of a position.
func (j *job) hold(c position) {
	for b := c.Held; len(b) >= 8; b = b[8:] {
		j.held[binary.BigEndian.Uint64(b)] = struct{}{}
	}
}

// cursor returns the cursor behind a letter.
func (j *job) cursor(after, until string) Cursor {
	c := position{After: after, Until: until}
	for _, h := range slices.Sorted(maps.Keys(j.held)) {
		c.Held = binary.BigEndian.AppendUint64(c.Held, h)
	}
	b, err := json.Marshal(c)
	if err != nil { // cannot happen: text and numbers
		return ""
	}
	return Cursor(base64.RawURLEncoding.EncodeToString(b))
}
