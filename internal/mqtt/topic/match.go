package topic

import "strings"

// Match reports whether the topic name matches the filter: + matches one level,
// # matches all remaining levels and the level above it, and neither matches a
// first level that starts with $ [MQTT-4.7.2-1]. A shared filter matches as its
// inner filter does. An invalid filter and an empty name match nothing. Match
// parses the filter each time; use a [Trie] for many filters.
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
