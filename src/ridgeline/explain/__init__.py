"""Where numbers come from: derivations, the glossary, the list of formulas."""
