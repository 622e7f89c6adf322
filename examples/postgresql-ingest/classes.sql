DROP TABLE IF EXISTS classes;
CREATE TABLE classes (name text PRIMARY KEY, min_days int NOT NULL, max_days int NOT NULL, note text);
INSERT INTO classes VALUES ('parcel', 1, 2, NULL), ('bulky', 5, 10, 'two people'), ('pallet', 8, 14, NULL), ('letter', 1, 3, NULL), ('express', 0, 1, NULL);
