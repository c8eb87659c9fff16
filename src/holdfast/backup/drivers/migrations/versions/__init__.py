"""The revisions of the catalog, in order; each changes what is there, none looks at the schema of this release."""
