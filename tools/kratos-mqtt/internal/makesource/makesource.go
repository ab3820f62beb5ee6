// Package makesource changes commands in the rules of a Makefile: it adds an option to a command of
// several lines, or a command to a rule, and removes them again.
package makesource

import (
	"fmt"
	"slices"
	"strings"
)

// After adds a line to the rule of a target, behind the last line of its commands that begins with
// word, in the same form: with its indentation, and its backslash if the command goes on. A rule
// that has the line stays as it is; without a rule or such a line it is an error.
func After(name string, text []byte, target, word, line string) ([]byte, error) {
	lines := strings.SplitAfter(string(text), "\n")
	start, end := rule(lines, target)
	if start == 0 {
		return nil, fmt.Errorf("%s: there is no rule %s", name, target)
	}
	last := -1
	for i := start; i < end; i++ {
		switch content := content(lines[i]); {
		case content == line:
			return text, nil
		case strings.HasPrefix(content, word):
			last = i
		}
	}
	if last < 0 {
		return nil, fmt.Errorf("%s:%d: the rule %s has no line that begins with %s", name, start, target, word)
	}
	model := lines[last]
	indent, rest, _ := strings.Cut(model, content(model))
	if !strings.HasSuffix(model, "\n") { // the file stays without a line feed at its end
		lines[last] += "\n"
		return []byte(strings.Join(slices.Insert(lines, last+1, indent+line), "")), nil
	}
	if strings.Contains(model, word) && !strings.Contains(rest, "\\") && goesOnFrom(lines, last) { // the last line of a command
		lines[last] = strings.TrimSuffix(model, "\n") + " \\\n"
	}
	return []byte(strings.Join(slices.Insert(lines, last+1, indent+line+rest), "")), nil
}

// Remove removes a line from the rule of a target.
func Remove(text []byte, target, line string) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	start, end := rule(lines, target)
	for i := start; start > 0 && i < end; i++ {
		if content(lines[i]) != line {
			continue
		}
		if !strings.Contains(lines[i], "\\") && goesOnFrom(lines, i) { // the line in front of it becomes the last one
			lines[i-1] = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(lines[i-1], " \n"), "\\"), " ") + "\n"
		}
		atEnd := !strings.HasSuffix(lines[i], "\n")
		kept := strings.Join(slices.Delete(lines, i, i+1), "")
		if atEnd {
			kept = strings.TrimSuffix(kept, "\n")
		}
		return []byte(kept)
	}
	return text
}

// goesOnFrom reports whether the line in front of a line ends with a backslash.
func goesOnFrom(lines []string, at int) bool {
	return at > 0 && strings.HasSuffix(strings.TrimRight(lines[at-1], " \t\n"), "\\")
}

// content returns a line of a command without blanks around it and without its backslash.
func content(line string) string {
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "\\"))
}

// rule returns the lines of the commands of a target: from the one behind the target, which is not
// the first one, to the one behind the last command. It returns 0 and 0 without such a rule.
func rule(lines []string, target string) (start, end int) {
	for i, line := range lines {
		names, _, found := strings.Cut(line, ":")
		if !found || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "#") || !slices.Contains(strings.Fields(names), target) {
			continue
		}
		if rest := line[len(names)+1:]; strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, ":=") || strings.HasPrefix(names, ".") {
			continue
		}
		end = i + 1
		for j := i + 1; j < len(lines) && (strings.HasPrefix(lines[j], "\t") || goesOnFrom(lines, j)); j++ {
			end = j + 1
		}
		return i + 1, end
	}
	return 0, 0
}
