-- A catalog of the 2019 program: its two tables are kept for ever, as they were, under other names.
ALTER TABLE containers RENAME TO containers_2019;
ALTER TABLE sync RENAME TO sync_2019;
