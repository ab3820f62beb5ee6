// Package configfile reads a YAML or JSON file that people write into a message
// of protobuf, and reports everything that is wrong with it at once, in the
// order of the file, with file, line and key. What it reports never quotes a
// value, because any value may be a secret in the wrong place.
//
//	b := new(conf.Bootstrap)
//	err := configfile.Load("configs/config.yaml", b, func() error { return validate(b) })
//
// A value may refer to the environment: ${NAME} is the variable NAME, and an
// error when there is none; ${NAME:default} has a default, which may be empty,
// and has no braces.
// A variable that is set but empty counts as none. $${ stands for ${ itself. A
// value that is nothing but a placeholder and resolves to nothing leaves its
// key unset; for a list, what it resolves to is split at commas.
//
// Keys are the names of fields, in either form. Text is taken as it is written,
// bytes, too; durations have a unit, as in 30s. A key that is written sets its
// field also to zero, where the field has presence. Unknown keys, keys that
// stand twice and values of another type are problems.
package configfile
