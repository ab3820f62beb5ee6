// Package share limits what is stored for all senders together and for each of them, so that
// no sender can fill a store alone.
package share

// Default is the default of Bounds.Share.
const Default = 8

// Use is a number of items and their size in bytes.
type Use struct {
	Count int
	Bytes int64
}

func (u *Use) add(count int, bytes int64) { u.Count, u.Bytes = u.Count+count, u.Bytes+bytes }

// Bounds limits all senders together, where 0 means no limit, and each sender: while less than
// half is used, a sender may store as much as it likes; then it is limited to 1/Share. A Share
// of 0 means [Default]; 1 means no limit per sender.
type Bounds struct {
	Count int
	Bytes int64
	Share int
}

// Limit is a limit that would be exceeded.
type Limit int

// The limits.
const (
	None       Limit = iota // there is room
	Whole                   // the item alone exceeds the limit of all
	Part                    // the item alone exceeds the share of a sender
	PartCount               // the sender has used up its share of items
	PartBytes               // the item would exceed the sender's share of bytes
	WholeCount              // the limit of items is reached
	WholeBytes              // the item would exceed the limit of bytes
)

// Verdict is the limit that would be exceeded, with the current and the permitted number of
// items or bytes.
type Verdict struct {
	Limit
	Has, May int64
}

// Room returns the limit that one more item of size bytes would exceed. all is the total use.
// own returns the use of the sender; it is called only if needed, and its error is returned.
// The share of the sender is checked before the limit of all, so that a sender that has used
// up its share never waits for others.
func (b Bounds) Room(size int64, all Use, own func() (Use, error)) (Verdict, error) {
	if b.Bytes > 0 && size > b.Bytes {
		return Verdict{Whole, size, b.Bytes}, nil
	}
	// Which of the bounds are more than half used.
	count, bytes := b.Count > 0 && 2*(all.Count+1) > b.Count, b.Bytes > 0 && 2*(all.Bytes+size) > b.Bytes
	parts := b.Share
	if parts == 0 {
		parts = Default
	}
	partCount, partBytes := max(1, b.Count/parts), b.Bytes/int64(parts)
	if parts > 1 && bytes && size > partBytes {
		return Verdict{Part, size, partBytes}, nil
	}
	if parts > 1 && (count || bytes) {
		of, err := own()
		switch {
		case err != nil:
			return Verdict{}, err
		case count && of.Count+1 > partCount:
			return Verdict{PartCount, int64(of.Count), int64(partCount)}, nil
		case bytes && of.Bytes+size > partBytes:
			return Verdict{PartBytes, of.Bytes, partBytes}, nil
		}
	}
	switch {
	case b.Count > 0 && all.Count+1 > b.Count:
		return Verdict{WholeCount, int64(all.Count), int64(b.Count)}, nil
	case b.Bytes > 0 && all.Bytes+size > b.Bytes:
		return Verdict{WholeBytes, all.Bytes, b.Bytes}, nil
	}
	return Verdict{}, nil
}
