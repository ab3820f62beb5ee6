package badinput

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Packet is one line of packets.tsv: bytes from a broker that a client must refuse.
type Packet struct {
	// Type is the name of the packet.
	Type string
	// Versions are the protocol levels on which it is refused: 4, 5 or both.
	Versions []byte
	// Rule is a normative statement, a section of the standard, or "own: ..." for a limit of
	// this project.
	Rule string
	// Case is the special feature of the case.
	Case string
	// When is the point at which it is sent: instead of "connack" or "suback", or once the client
	// is "ready".
	When string
	// Decoder reports that the decoder alone detects the error; otherwise the state of the
	// connection is needed.
	Decoder bool
	// Bytes are the bytes on the wire.
	Bytes []byte
	// Want is a part of the error.
	Want string
}

// Packets reads packets.tsv.
func Packets() ([]Packet, error) {
	rows, err := table("packets.tsv", 8, 4)
	if err != nil {
		return nil, err
	}
	list := make([]Packet, len(rows))
	for i, row := range rows {
		p := Packet{Type: row[0], Rule: row[2], Case: row[3], When: row[4], Decoder: row[5] == "decoder", Want: row[7]}
		switch row[1] {
		case "3.1.1":
			p.Versions = []byte{4}
		case "5":
			p.Versions = []byte{5}
		case "both":
			p.Versions = []byte{4, 5}
		default:
			return nil, fmt.Errorf("packets.tsv: version %q", row[1])
		}
		if !slices.Contains([]string{"connack", "suback", "ready"}, p.When) || !p.Decoder && row[5] != "connection" {
			return nil, fmt.Errorf("packets.tsv: when %q by %q", row[4], row[5])
		}
		if p.Bytes, err = bytesOf(row[6]); err != nil {
			return nil, fmt.Errorf("packets.tsv: %s, %s: %w", p.Type, p.Case, err)
		}
		list[i] = p
	}
	return list, nil
}

// bytesOf reads hexadecimal bytes; "xx*n" repeats one.
func bytesOf(text string) (out []byte, err error) {
	for part := range strings.FieldsSeq(text) {
		digits, times, repeated := strings.Cut(part, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		out = append(out, slices.Repeat(b, n)...)
	}
	return out, nil
}
