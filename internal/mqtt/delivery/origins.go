package delivery

// originCells is the number of cells in a row of [origins], a power of two.
const originCells = 1 << 10

// origins counts the items and bytes of each origin. The hash of an origin
// selects a cell in each of two rows, and its count is the smaller of both.
// This takes constant memory, and an origin is confused with another only if
// both cells are shared. Hashes differ between processes, so that nobody can
// choose an origin to share cells with another.
type origins struct {
	rows *[2][originCells]room // nil before the first item, because a connection may never receive one
}

func (o *origins) cells(origin uint64) [2]*room {
	if o.rows == nil {
		o.rows = new([2][originCells]room)
	}
	return [2]*room{&o.rows[0][origin%originCells], &o.rows[1][origin>>32%originCells]}
}

// add adds items of an origin; negative numbers remove them. Origin 0 means
// none and is ignored.
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
