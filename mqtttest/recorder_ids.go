package mqtttest

import (
	"encoding/hex"
)

// idTable maps ids to their histories. UUIDs, the usual ids, take 16 bytes.
type idTable struct {
	uuids  map[[16]byte]history
	others map[string]history
}

func newIDTable() idTable {
	return idTable{uuids: make(map[[16]byte]history), others: make(map[string]history)}
}

func (t *idTable) change(id string, f func(history) history) {
	if u, ok := parseUUID(id); ok {
		t.uuids[u] = f(t.uuids[u])
		return
	}
	t.others[id] = f(t.others[id])
}

func (t *idTable) each(f func(id func() string, h history)) {
	for u, h := range t.uuids {
		f(func() string { return formatUUID(u) }, h)
	}
	for id, h := range t.others {
		f(func() string { return id }, h)
	}
}

// parseUUID parses only the canonical form of a UUID, so that different ids stay different.
func parseUUID(s string) (u [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	at := 0
	for i := 0; i < 36; {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			i++
			continue
		}
		high, low := nibble(s[i]), nibble(s[i+1])
		if high > 15 || low > 15 {
			return u, false
		}
		u[at] = high<<4 | low
		at++
		i += 2
	}
	return u, true
}

// nibble returns the value of a lower-case hexadecimal digit, or 255.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

func formatUUID(u [16]byte) string {
	b := make([]byte, 0, 36)
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b)
}
