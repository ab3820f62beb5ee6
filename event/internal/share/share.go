// Package share bounds what is kept of many senders together, and what of that one
// may have, so that nobody fills a store alone.
package share

// Default is how many parts the bounds have, of which one sender may have one.
const Default = 8

// Use is how many things there are, and how many bytes they take.
type Use struct {
	Count int
	Bytes int64
}

func (u *Use) add(count int, bytes int64) { u.Count, u.Bytes = u.Count+count, u.Bytes+bytes }

// Bounds are what all senders together may have, 0 is no bound, and of that one: while
// less than half is used up, all that it sends; from then on one part of Share, 0 is
// [Default], 1 is no bound for one.
type Bounds struct {
	Count int
	Bytes int64
	Share int
}

// Limit names the bound that something has no room in.
type Limit int

// The limits.
const (
	None       Limit = iota // there is room
	Whole                   // all may have less than the thing alone is
	Part                    // one may have less than that, while more than half is used up
	PartCount               // one has its share
	PartBytes               // one would have more than its share with the thing
	WholeCount              // all have what they may
	WholeBytes              // all would have more than they may with the thing
)

// Verdict is the bound that something has no room in, with what there is, and what may
// be, in things or bytes.
type Verdict struct {
	Limit
	Has, May int64
}

// Room returns the bound in which one more thing, of size bytes, has no room. all is what
// there is. own returns what the same sender has; it is called only when that matters,
// and its error is returned. The share of a sender is told before the bound of all, so
// that one that has its share never waits for others.
func (b Bounds) Room(size int64, all Use, own func() (Use, error)) (Verdict, error) {
	if b.Bytes > 0 && size > b.Bytes {
		return Verdict{Whole, size, b.Bytes}, nil
	}
	// Which of the bounds is more than half used up.
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
