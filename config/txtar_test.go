package config_test

import "strings"

// section is one file of a txtar archive (golang.org/x/tools/txtar documents the
// format; that module is not among ours).
type section struct{ name, data string }

// parseArchive splits an archive at its "-- NAME --" lines.
func parseArchive(text string) (comment string, files []section) {
	for line := range strings.Lines(text) {
		name, isMarker := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		name, closed := strings.CutSuffix(name, " --")
		switch {
		case isMarker && closed:
			files = append(files, section{name: name})
		case len(files) == 0:
			comment += line
		default:
			files[len(files)-1].data += line
		}
	}
	return comment, files
}

func formatArchive(comment string, files []section) string {
	for _, f := range files {
		comment += "-- " + f.name + " --\n" + f.data
	}
	return comment
}
