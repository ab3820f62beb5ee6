package delivery

// originCells is how many cells a row of [origins] has, a power of two.
const originCells = 1 << 10

// origins counts what each origin has of the bounds. An origin has a cell in each of
// two rows, which its hash chooses, and what it has is the smaller one: memory is the
// same whatever arrives, and another is taken for it only when both cells are shared.
// Hashes differ from process to process, so that nobody can choose whose cells to share.
type origins struct {
	rows *[2][originCells]room // nil before the first item: a connection may never get one
}

func (o *origins) cells(origin uint64) [2]*room {
	if o.rows == nil {
		o.rows = new([2][originCells]room)
	}
	return [2]*room{&o.rows[0][origin%originCells], &o.rows[1][origin>>32%originCells]}
}

// add counts items of an origin, less than 0 of those that are gone; 0 is no origin.
func (o *origins) add(origin uint64, count int, bytes int64) {
	if origin == 0 {
		return
	}
	for _, c := range o.cells(origin) {
		c.count += count
		c.bytes += bytes
	}
}

func (o *origins) of(origin uint64) room {
	c := o.cells(origin)
	return room{min(c[0].count, c[1].count), min(c[0].bytes, c[1].bytes)}
}
