package simulate

import (
	"regexp/syntax"
	"strings"
)

// matching returns a text that a regular expression matches. more raises how often a part without
// a limit is repeated.
func (d *device) matching(pattern string, more int) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "" // the validator reports it
	}
	var out strings.Builder
	d.match(&out, re, more)
	return out.String()
}

func (d *device) match(out *strings.Builder, re *syntax.Regexp, more int) {
	if d.spend(1); d.over() {
		return
	}
	least, most := 1, 1
	switch re.Op {
	case syntax.OpLiteral:
		out.WriteString(string(re.Rune))
		return
	case syntax.OpCharClass:
		out.WriteRune(d.oneOf(re.Rune))
		return
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteByte(byte('a' + d.IntN(26)))
		return
	case syntax.OpAlternate:
		d.match(out, re.Sub[d.IntN(len(re.Sub))], more)
		return
	case syntax.OpStar:
		least, most = 0, 3+more
	case syntax.OpPlus:
		most = 3 + more
	case syntax.OpQuest:
		least = 0
	case syntax.OpRepeat:
		if least, most = re.Min, re.Max; most < 0 {
			most = least + 3 + more
		}
	}
	for range least + d.IntN(most-least+1) {
		if d.over() {
			return
		}
		for _, sub := range re.Sub {
			d.match(out, sub, more)
		}
	}
}

// oneOf returns a rune of a class, which is pairs of first and last: a letter or digit if it has
// one, else a printable one.
func (d *device) oneOf(class []rune) rune {
	for _, preferred := range []string{"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"} {
		var found []rune
		for _, r := range preferred {
			for i := 0; i+1 < len(class); i += 2 {
				if class[i] <= r && r <= class[i+1] {
					found = append(found, r)
				}
			}
		}
		if len(found) > 0 {
			return found[d.IntN(len(found))]
		}
	}
	if len(class) == 0 {
		return 'x'
	}
	return class[0]
}
