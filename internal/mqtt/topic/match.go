package topic

import "strings"

// Match reports whether a message to name belongs to filter: + takes one
// level, # the rest and the level above it, and neither takes a first level
// that starts with $ [MQTT-4.7.2-1]. A shared filter matches as its inner one
// does. An invalid filter and an empty name match nothing. It parses the
// filter each time; a [Trie] finds many filters at once.
func Match(filter, name string) bool {
	_, inner, _, err := ParseShared(filter)
	if err != nil || name == "" {
		return false
	}
	if name[0] == '$' && (inner[0] == '+' || inner[0] == '#') {
		return false
	}
	return matchLevels(strings.Split(inner, "/"), strings.Split(name, "/"))
}

func matchLevels(filter, name []string) bool {
	for i, level := range filter {
		switch {
		case level == "#":
			return true
		case i == len(name):
			return false
		case level != "+" && level != name[i]:
			return false
		}
	}
	return len(filter) == len(name)
}
