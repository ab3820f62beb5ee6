package badinput

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed testdata
var testdata embed.FS

// table reads a file with the given number of columns; the first ones identify a line.
func table(file string, columns, named int) ([][]string, error) {
	text, err := testdata.ReadFile("testdata/" + file)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	lines := make(map[string]int)
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != columns {
			return nil, fmt.Errorf("%s:%d: %d columns, want %d", file, i+1, len(row), columns)
		}
		for column, field := range row {
			if strings.TrimSpace(field) == "" {
				return nil, fmt.Errorf("%s:%d: column %d is empty", file, i+1, column+1)
			}
		}
		name := strings.Join(row[:named], "\t")
		if first := lines[name]; first != 0 {
			return nil, fmt.Errorf("%s:%d: the same case as line %d", file, i+1, first)
		}
		lines[name] = i + 1
		rows = append(rows, row)
	}
	return rows, nil
}

// texts parses a list of texts: each is a quoted string, or several joined by +, each of which *N
// after it repeats.
func texts(list string) ([]string, error) {
	var out []string
	var text strings.Builder
	for rest := list; ; {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		times := 1
		rest = rest[len(quoted):]
		if count, ok := strings.CutPrefix(rest, "*"); ok {
			count, rest, _ = strings.Cut(count, " ")
			if times, err = strconv.Atoi(count); err != nil {
				return nil, fmt.Errorf("%s: %w", list, err)
			}
		}
		text.WriteString(strings.Repeat(part, times))
		sign, more, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		rest = more
		switch sign {
		case "+":
			continue
		case ";":
			out = append(out, text.String())
			text.Reset()
			continue
		case "":
			return append(out, text.String()), nil
		}
		return nil, fmt.Errorf("%s: %q where + or ; is expected", list, sign)
	}
}
