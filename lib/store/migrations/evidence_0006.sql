-- The bundles of a time, without reading their texts.
CREATE INDEX command_blocks_time ON command_blocks(until_us, from_us, last_id);
