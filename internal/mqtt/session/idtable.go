package session

// idTable maps packet ids to values. Brokers count their ids up, so that a hash
// map would touch all of its buckets over time. Two levels of arrays take one
// page for a window of ids. An empty page is kept for reuse.
type idTable[V comparable] struct {
	pages *[256]*idPage[V] // nil until a value is set
	spare *idPage[V]
}

type idPage[V comparable] struct {
	used   int
	values [256]V
}

func (t *idTable[V]) get(id uint16) (v V) {
	if p := t.page(id); p != nil {
		v = p.values[id&0xFF]
	}
	return v
}

func (t *idTable[V]) page(id uint16) *idPage[V] {
	if t.pages == nil {
		return nil
	}
	return t.pages[id>>8]
}

func (t *idTable[V]) set(id uint16, v V) {
	p := t.page(id)
	if p == nil {
		if t.pages == nil {
			t.pages = new([256]*idPage[V])
		}
		if p = t.spare; p == nil {
			p = new(idPage[V])
		}
		t.pages[id>>8], t.spare = p, nil
	}
	var zero V
	if p.values[id&0xFF] == zero {
		p.used++
	}
	p.values[id&0xFF] = v
}

func (t *idTable[V]) del(id uint16) {
	p := t.page(id)
	var zero V
	if p == nil || p.values[id&0xFF] == zero {
		return
	}
	p.values[id&0xFF] = zero
	if p.used--; p.used == 0 {
		t.pages[id>>8], t.spare = nil, p
	}
}

func (t *idTable[V]) clear() { *t = idTable[V]{} }

func (t *idTable[V]) count() (n int) {
	if t.pages == nil {
		return 0
	}
	for _, p := range t.pages {
		if p != nil {
			n += p.used
		}
	}
	return n
}
