package envelope

import (
	"encoding/json"
	"slices"
)

// AddAttributes puts attributes, names and values by turns, in front of those of a
// structured event.
func AddAttributes(event []byte, attributes ...string) []byte {
	if len(event) < 3 || event[0] != '{' { // at least one attribute follows
		return event
	}
	out := make([]byte, 1, len(event)+128)
	out[0] = '{'
	for pair := range slices.Chunk(attributes, 2) {
		for i, s := range pair {
			text, err := json.Marshal(s)
			if err != nil {
				return event
			}
			out = append(append(out, text...), ":,"[i])
		}
	}
	return append(out, event[1:]...)
}
