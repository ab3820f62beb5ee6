package badinput

import "fmt"

// Topic is one line of topics.tsv.
type Topic struct {
	// Check is the kind of the input: a "name", "filter", "shared" filter or "param"; "share" for
	// a group and a filter to join; "broad" for a filter that may need an option; "match" for a
	// filter and a name.
	Check string
	// Rule is a normative statement, a section of the standard, or "own: ..." for a rule that is
	// stricter than the standard.
	Rule string
	// Case is the special feature of the case.
	Case string
	// Input is one text or several, depending on Check.
	Input []string
	// Want is "ok", "true" or "false", or a part of the error.
	Want string
}

// Topics reads topics.tsv.
func Topics() ([]Topic, error) {
	rows, err := table("topics.tsv", 5, 3)
	if err != nil {
		return nil, err
	}
	list := make([]Topic, len(rows))
	for i, row := range rows {
		input, err := texts(row[3])
		if err != nil {
			return nil, fmt.Errorf("topics.tsv: %s, %s: %w", row[0], row[2], err)
		}
		list[i] = Topic{row[0], row[1], row[2], input, row[4]}
	}
	return list, nil
}
