package prepare

import (
	"fmt"

	"understudy/config"
)

// LearnCell finds the name of the cell: what was given, what is configured on this
// node where the file system it lies on is mounted, or what another node says. It
// fails if what was given is no name of a cell, or another than the one configured.
func (f *Facts) LearnCell(c *config.Config, given string) error {
	here := ""
	for _, g := range groupsOf(c, f.Node) {
		for _, a := range g.Applications {
			for _, p := range a.Configured {
				s := f.path(p)
				if !cellFile(p) || !s.OK() || s.Value.Kind != RegularFile {
					continue
				}
				if on := mountOf(g, p); on != "" {
					if is, _ := f.mounted(on); !is {
						continue // what lies there is not the service's own
					}
				}
				if cell, err := ParseCell(s.Value.Data); err == nil {
					f.Cell, f.CellFrom, here = cell, p, cell
				}
			}
		}
	}
	for _, p := range f.Resident.Peers {
		if cell, err := CleanCell(p.Cell); err == nil && f.Cell == "" {
			f.Cell, f.CellFrom = cell, "the word of "+p.Name
		}
	}
	if given == "" {
		return nil
	}
	cell, err := CleanCell(given)
	if err != nil {
		return err
	}
	if here != "" && here != cell {
		return fmt.Errorf("cannot take %s for the cell: %s says %s — leave --cell out", cell, f.CellFrom, here)
	}
	f.Cell, f.CellFrom = cell, "--cell"
	return nil
}
