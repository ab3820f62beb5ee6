package badinput

import "fmt"

// Topic is one line of topics.tsv.
type Topic struct {
	// Check says what the input is: a "name", "filter", "shared" filter, "param";
	// "share" a group and a filter to join; "broad" a filter that may need an option;
	// "match" a filter and a name.
	Check string
	// Rule is a normative statement, a section of the standard, or "own: ..." for
	// what is stricter than the standard.
	Rule string
	// Case is what is particular.
	Case string
	// Input is one text or more, as Check says.
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
